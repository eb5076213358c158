//! Credentials inside URLs, and texts without them.

use std::borrow::Cow;

/// What is shown instead of a credential.
const HIDDEN: &str = "…";

/// Hides the credentials in the URLs of a text: user names with passwords, and the values of parameters that sign or authorise a request.
///
/// For messages and log lines: clients quote the URLs that they use. Hidden is also what only looks like a credential.
#[must_use]
pub fn without_credentials(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        let (url, following) = split_url(after);
        out.push_str(before);
        out.push_str("://");
        push_url(url, &mut out);
        rest = following;
    }
    if out.is_empty() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Splits a text after the `://` of a URL: the rest of the URL, and what follows it in the sentence.
fn split_url(text: &str) -> (&str, &str) {
    let ends_url = |character: char| {
        character.is_whitespace()
            || character.is_control()
            || matches!(character, '"' | '\'' | '`' | '<' | '>' | '(' | ')')
    };
    let end = text.find(ends_url).unwrap_or(text.len());
    let (url, _) = text.split_at_checked(end).unwrap_or((text, ""));
    // Marks of the sentence. A backslash before a quotation mark is a part of a JSON text.
    let url = url.trim_end_matches(['.', ',', ':', ';', '!', '\\']);
    text.split_at_checked(url.len()).unwrap_or((text, ""))
}

/// Appends what follows the `://` of a URL.
fn push_url(url: &str, out: &mut String) {
    let rest = match user(url).and_then(|user| url.get(user.len()..)) {
        Some(host) => {
            out.push_str(HIDDEN);
            host
        }
        None => url,
    };
    let Some((path, query)) = rest.split_once('?') else {
        return out.push_str(rest);
    };
    out.push_str(path);
    for (index, parameter) in query.split('&').enumerate() {
        out.push(if index == 0 { '?' } else { '&' });
        match parameter.split_once('=') {
            Some((name, _)) if is_secret(name) => {
                out.push_str(name);
                out.push('=');
                out.push_str(HIDDEN);
            }
            _ => out.push_str(parameter),
        }
    }
}

/// The user name and the password, which begin a URL after its `://` and end before an `@`.
fn user(url: &str) -> Option<&str> {
    let (user, _) = url.rsplit_once('@')?;
    // A password may have slashes, too, although they should be escaped. Without one, an `@` after a slash belongs to the path.
    let authority = user.split(['/', '?', '#']).next().unwrap_or_default();
    let is_port = |text: &str| text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let has_password = !authority.starts_with('[') && authority.split_once(':').is_some_and(|(_, port)| !is_port(port));
    // Another URL within this one may have a user, too.
    (authority.len() == user.len() || has_password || user.contains("://")).then_some(user)
}

/// Whether a parameter of a URL is a credential.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let marks = ["sig", "token", "secret", "password", "credential", "key"];
    marks.iter().any(|mark| name.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_urls_are_hidden() {
        for (text, shown) in [
            ("s3://bucket/folder", "s3://bucket/folder"),
            ("no URL: user:hush@host", "no URL: user:hush@host"),
            ("s3://id:hush@bucket/folder", "s3://…@bucket/folder"),
            ("s3://id:hu/sh@bucket/folder", "s3://…@bucket/folder"),
            ("s3://id:hu@sh/hush@bucket", "s3://…@bucket"),
            (
                "(https://hush@host:9000/a) and gs://b/c",
                "(https://…@host:9000/a) and gs://b/c",
            ),
            ("http://[::1]:9000/a", "http://[::1]:9000/a"),
            (
                "for url (https://a.blob.core.windows.net/c/x?sv=2024&sig=hush%3D&sp=r)",
                "for url (https://a.blob.core.windows.net/c/x?sv=2024&sig=…&sp=r)",
            ),
            (
                "https://h/x?X-Amz-Signature=hush&Token=hush",
                "https://h/x?X-Amz-Signature=…&Token=…",
            ),
            ("https://exchange/events?page=2", "https://exchange/events?page=2"),
            ("://", "://"),
            ("a://b://user:hush@c", "a://…@c"),
            (
                "https://host/x@1 and http://[::1]:1/x@1",
                "https://host/x@1 and http://[::1]:1/x@1",
            ),
            (
                "cannot read https://h/x?sig=hush: why",
                "cannot read https://h/x?sig=…: why",
            ),
            (
                r#"{"m":"at \"https://h/x?sig=hush\", or"}"#,
                r#"{"m":"at \"https://h/x?sig=…\", or"}"#,
            ),
            ("https://h/x?sig=hush@hush.", "https://h/x?sig=…."),
        ] {
            assert_eq!(without_credentials(text), shown, "{text}");
            assert!(
                !without_credentials(text).contains("hush") || !text.contains("://"),
                "{text}"
            );
        }
    }
}
