//! Errors as people read them.

/// An error and all its causes, in one line.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut links = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(inner) = cause {
        links.push(inner.to_string());
        cause = inner.source();
    }
    links.join(": ")
}
