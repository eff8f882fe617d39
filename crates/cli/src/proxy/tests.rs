use super::*;

#[test]
fn headers_of_one_connection_stay_there() {
    let given: HeaderMap = [
        ("connection", "keep-alive, x-once"),
        ("x-once", "1"),
        ("cookie", "tessera-1=secret"),
        ("host", "127.0.0.1:1"),
        ("accept", "text/html"),
        ("last-event-id", "7"),
    ]
    .iter()
    .map(|(name, value)| {
        let name: HeaderName = name.parse().unwrap();
        (name, HeaderValue::from_static(value))
    })
    .collect();
    let passed = passed(&given);
    let mut names: Vec<&str> = passed.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "last-event-id"]);
}
