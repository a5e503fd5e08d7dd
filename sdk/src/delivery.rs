//! Helpers for what arrives: events' data, and `CloudEvents`' JSON.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

use crate::{Delivery, Event, Failure};

/// An event in `CloudEvents`' structured mode, version 1.0; the order of the fields is that of the text.
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'a str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    subject: &'a str,
    time: &'a str,
    datacontenttype: &'a str,
    data: Box<RawValue>,
}

impl Event {
    /// Parses `data`, into a type of yours or a [`Value`]. An event that does not fit is a permanent failure.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.data)
            .map_err(|error| Failure::permanent(format!("data of event {}: {error}", self.id)))
    }

    /// The event as `CloudEvents` 1.0 structured JSON, `application/cloudevents+json`, on one line.
    pub fn to_cloudevent(&self) -> Result<String, Failure> {
        to_json(&self.as_cloudevent()?)
    }

    /// `data` as it is written, which spares reading all of it.
    fn on_one_line(&self) -> Result<Box<RawValue>, Failure> {
        let data: Box<RawValue> = self.json()?;
        if !data.get().contains(['\n', '\r']) {
            return Ok(data);
        }
        serde_json::value::to_raw_value(&self.json::<Value>()?).map_err(Failure::permanent)
    }

    fn as_cloudevent(&self) -> Result<CloudEvent<'_>, Failure> {
        Ok(CloudEvent {
            specversion: "1.0",
            id: &self.id,
            source: &self.source,
            kind: &self.type_,
            subject: &self.subject,
            time: &self.time,
            datacontenttype: "application/json",
            data: self.on_one_line()?,
        })
    }
}

impl Delivery {
    /// The first event: the only one, unless the rule groups events.
    pub fn first(&self) -> Result<&Event, Failure> {
        self.events.first().ok_or_else(|| Failure::permanent("the delivery holds no event"))
    }

    /// The event as `CloudEvents` JSON on one line; several as one array.
    pub fn to_json(&self) -> Result<String, Failure> {
        match self.events.as_slice() {
            [event] => event.to_cloudevent(),
            _ => self.to_cloudevents_batch(),
        }
    }

    /// All events as one JSON array, `application/cloudevents-batch+json`, on one line.
    pub fn to_cloudevents_batch(&self) -> Result<String, Failure> {
        to_json(&self.events.iter().map(Event::as_cloudevent).collect::<Result<Vec<_>, _>>()?)
    }
}

fn to_json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(Failure::permanent)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::testing;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Data {
        to: String,
    }

    #[test]
    fn data_is_parsed_into_the_plugins_own_type() {
        let event = testing::event(&json!({ "to": "critical", "from": "passing" }));
        assert_eq!(event.json(), Ok(Data { to: "critical".into() }));
    }

    #[test]
    fn data_that_does_not_fit_is_a_permanent_failure_that_names_the_event() {
        let event = testing::event(&json!({}));
        let want = "data of event e1: missing field `to` at line 1 column 2";
        assert_eq!(event.json::<Data>(), Err(Failure::permanent(want)));
    }

    #[test]
    fn a_cloudevent_is_one_line_with_every_attribute() {
        let event = testing::event(&json!({ "output": "a\nb" }));
        assert_eq!(
            event.to_cloudevent().unwrap(),
            concat!(
                r#"{"specversion":"1.0","id":"e1","source":"consul://dc1","type":"lictor.check.status","#,
                r#""subject":"n1/service:web","time":"2026-01-01T00:00:00Z","#,
                r#""datacontenttype":"application/json","data":{"output":"a\nb"}}"#,
            )
        );
    }

    #[test]
    fn data_stays_as_it_is_written_but_on_one_line() {
        let data = |data: &str| {
            let event = Event { data: data.into(), ..testing::event(&json!({})) };
            event.to_cloudevent().map(|text| text.split_once(r#","data":"#).unwrap().1.to_owned())
        };
        assert_eq!(
            data(r#"{"b": 1.0e3, "a":[18446744073709551616]}"#).unwrap(),
            r#"{"b": 1.0e3, "a":[18446744073709551616]}}"#
        );
        assert_eq!(data("{\"b\":\r\n\"a\\n\"}").unwrap(), "{\"b\":\"a\\n\"}}");
        assert!(data("{").is_err());
    }

    #[test]
    fn a_batch_is_an_array_of_what_a_single_event_is() {
        let delivery = testing::delivery([json!({ "n": 1 }), json!({ "n": 2 })]);
        let singles: Vec<_> = delivery.events.iter().map(|event| event.to_cloudevent().unwrap()).collect();
        assert_eq!(delivery.to_cloudevents_batch().unwrap(), format!("[{}]", singles.join(",")));
    }
}
