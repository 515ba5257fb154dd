//! Status codes, and the body of an answer that reports a problem (RFC 9457).

use super::method::Method;
use crate::admin::resources::ProblemResource;
use crate::text::json;

/// The status codes that the admin endpoint answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Ok,
    NoContent,
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    Conflict,
    ContentTooLarge,
    UnsupportedMediaType,
    ExpectationFailed,
    MisdirectedRequest,
    UnprocessableContent,
    HeaderFieldsTooLarge,
    NotImplemented,
    ServiceUnavailable,
}

impl Status {
    pub fn code(self) -> u16 {
        self.row().0
    }

    /// Returns the reason phrase of the standard.
    pub fn phrase(self) -> &'static str {
        self.row().1
    }

    fn row(self) -> (u16, &'static str) {
        match self {
            Status::Ok => (200, "OK"),
            Status::NoContent => (204, "No Content"),
            Status::BadRequest => (400, "Bad Request"),
            Status::Unauthorized => (401, "Unauthorized"),
            Status::Forbidden => (403, "Forbidden"),
            Status::NotFound => (404, "Not Found"),
            Status::MethodNotAllowed => (405, "Method Not Allowed"),
            Status::RequestTimeout => (408, "Request Timeout"),
            Status::Conflict => (409, "Conflict"),
            Status::ContentTooLarge => (413, "Content Too Large"),
            Status::UnsupportedMediaType => (415, "Unsupported Media Type"),
            Status::ExpectationFailed => (417, "Expectation Failed"),
            Status::MisdirectedRequest => (421, "Misdirected Request"),
            Status::UnprocessableContent => (422, "Unprocessable Content"),
            Status::HeaderFieldsTooLarge => (431, "Request Header Fields Too Large"),
            Status::NotImplemented => (501, "Not Implemented"),
            Status::ServiceUnavailable => (503, "Service Unavailable"),
        }
    }
}

/// Seconds after which a client may try again, unless the problem sets another number.
const RETRY_AFTER_SECONDS: u32 = 1;

/// A request that is refused, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub status: Status,
    /// One sentence for a person: what is wrong, and what would be accepted.
    pub detail: String,
    /// The methods of the resource, for `MethodNotAllowed`.
    pub allow: &'static [Method],
    /// For `ServiceUnavailable`, in seconds.
    pub retry_after: u32,
}

impl Problem {
    pub fn new(status: Status, detail: impl Into<String>) -> Problem {
        let detail = detail.into();
        Problem { status, detail, allow: &[], retry_after: RETRY_AFTER_SECONDS }
    }

    pub fn bad_request(detail: impl Into<String>) -> Problem {
        Problem::new(Status::BadRequest, detail)
    }

    /// Returns the problem of a method that the resource does not have.
    pub fn method_not_allowed(allow: &'static [Method]) -> Problem {
        let detail = format!("this resource accepts {}", Method::list(allow));
        Problem { allow, ..Problem::new(Status::MethodNotAllowed, detail) }
    }

    pub fn unavailable(detail: impl Into<String>, retry_after_seconds: u32) -> Problem {
        let retry_after = retry_after_seconds;
        Problem { retry_after, ..Problem::new(Status::ServiceUnavailable, detail) }
    }

    /// Returns the object of RFC 9457, as one line. A problem without a type of its own has the
    /// reason phrase as its title.
    pub fn to_json(&self) -> String {
        let (title, status) = (self.status.phrase().to_string(), self.status.code());
        json::line(&ProblemResource { title, status, detail: self.detail.clone() }) + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_an_object_with_title_status_and_detail() {
        let problem = Problem::bad_request("no \"such\" thing");
        let text = r#"{"title":"Bad Request","status":400,"detail":"no \"such\" thing"}"#;
        assert_eq!(problem.to_json(), format!("{text}\n"));
    }

    #[test]
    fn foreign_text_in_a_detail_cannot_break_the_object_or_steer_a_terminal() {
        let detail = "a\"},{\r\n\x1b[31m\u{202e}\u{9b}";
        let text = Problem::bad_request(detail).to_json();
        let body = text.strip_suffix('\n').unwrap();
        assert!(body.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{body:?}");
        let value: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(value["detail"], detail);
    }

    #[test]
    fn a_refused_method_names_those_that_exist() {
        let problem = Problem::method_not_allowed(&[Method::Get, Method::Head]);
        assert_eq!(problem.status.code(), 405);
        assert_eq!(problem.detail, "this resource accepts GET, HEAD");
    }
}
