//! What a token may do: `/v1/internal/acl/authorize`.

use serde::{Deserialize, Serialize};

use super::Garbage;

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

/// Whether `segment` of a kind of resource may be read.
pub(in crate::consul) fn question(resource: &str, segment: &str) -> String {
    let question = Question { resource, access: "read", segment };
    // Texts alone can always be encoded.
    serde_json::to_string(&[question]).unwrap_or_default()
}

/// Whether all of it is allowed.
pub(in crate::consul) fn allowed(body: &[u8]) -> Result<bool, Garbage> {
    let verdicts: Vec<Verdict> = serde_json::from_slice(body)?;
    Ok(verdicts.iter().all(|verdict| verdict.allow))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_asked_and_its_answer_read() {
        let want = r#"[{"Resource":"key","Access":"read","Segment":"app/\"x\""}]"#;
        assert_eq!(question("key", "app/\"x\""), want);
        let said = br#"[{"Resource":"service","Segment":"db","Access":"read","Allow":false}]"#;
        assert!(!allowed(said).unwrap());
        assert!(allowed(br#"[{"Allow": true}]"#).unwrap());
        assert!(allowed(b"{}").is_err());
    }
}
