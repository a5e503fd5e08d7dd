//! What a token may do: `/v1/internal/acl/authorize`.

use serde::{Deserialize, Serialize};

use super::Garbage;
use crate::catalog::Right;

/// May the token read this?
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Question<'a> {
    resource: &'a str,
    access: &'a str,
    segment: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Verdict {
    allow: bool,
}

/// Whether all of these may be read.
pub(in crate::consul) fn question(rights: &[Right<'_>]) -> String {
    let all = rights.iter().map(|(resource, segment)| Question {
        resource: resource.as_str(),
        access: "read",
        segment,
    });
    // Texts alone can always be encoded.
    serde_json::to_string(&all.collect::<Vec<_>>()).unwrap_or_default()
}

/// The place in the question of the first that is not allowed.
pub(in crate::consul) fn first_denied(body: &[u8]) -> Result<Option<usize>, Garbage> {
    let verdicts: Vec<Verdict> = serde_json::from_slice(body)?;
    Ok(verdicts.iter().position(|verdict| !verdict.allow))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Resource;

    #[test]
    fn a_question_is_asked_and_its_answer_read() {
        let want = r#"[{"Resource":"key","Access":"read","Segment":"app/\"x\""}]"#;
        assert_eq!(question(&[(Resource::Key, "app/\"x\"")]), want);
        let said =
            br#"[{"Allow": true}, {"Resource":"service","Segment":"db","Access":"read","Allow":false}]"#;
        assert_eq!(first_denied(said).unwrap(), Some(1));
        assert_eq!(first_denied(br#"[{"Allow": true}]"#).unwrap(), None);
        assert!(first_denied(b"{}").is_err());
    }
}
