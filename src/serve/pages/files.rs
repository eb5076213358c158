//! The files of the pages.

/// A file, as it is served.
pub(super) struct PageFile {
    pub name: &'static str,
    pub content_type: &'static str,
    pub bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const CODE: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// The paths of the pages, and their files.
pub(super) const PAGES: [(&str, &str); 6] = [
    ("/", "history.html"),
    ("/history", "history.html"),
    ("/operations", "operations.html"),
    ("/treasury", "treasury.html"),
    ("/finance", "finance.html"),
    ("/audit", "audit.html"),
];

macro_rules! files {
    ($($name:literal $content_type:ident,)*) => {
        /// All files. Each is served under `/assets/` as well.
        pub(super) const FILES: &[PageFile] = &[$(PageFile {
            name: $name,
            content_type: $content_type,
            bytes: include_bytes!(concat!("assets/", $name)),
        }),*];
    };
}

files! {
    "accrued.js" CODE,
    "api.js" CODE,
    "audit.html" HTML,
    "audit.js" CODE,
    "base.css" STYLE,
    "chart.js" CODE,
    "dom.js" CODE,
    "explain.js" CODE,
    "favicon.svg" IMAGE,
    "finance.html" HTML,
    "finance.js" CODE,
    "format.js" CODE,
    "history.html" HTML,
    "history.js" CODE,
    "merkle.js" CODE,
    "operations.html" HTML,
    "operations.js" CODE,
    "parts.css" STYLE,
    "processor.js" CODE,
    "shell.js" CODE,
    "table.js" CODE,
    "treasury.html" HTML,
    "treasury.js" CODE,
}
