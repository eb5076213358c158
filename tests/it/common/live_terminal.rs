//! A command on a terminal that it has to itself: keys, sizes and signals go in, and the screen comes out.

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use tempfile::TempDir;
use unicode_width::UnicodeWidthChar;

use super::process::until;
use super::program::run_by;

/// Runs a command as the leader of a terminal, and appends to a file what the command writes. Its own input has lines: `key HEX`,
/// `size LINES COLUMNS` or `signal NUMBER`. At the end it prints the status, and whether the terminal is set as before.
const ON_A_TERMINAL: &str = r#"
import fcntl, os, pty, select, signal, struct, sys, termios, time
ours, theirs = pty.openpty()
def resize(lines, columns):
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", int(lines), int(columns), 0, 0))
resize(*sys.argv[1:3])
before = termios.tcgetattr(theirs)
child = os.fork()
if child == 0:
    os.close(ours)
    os.setsid()
    fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
    for number in range(3):
        os.dup2(theirs, number)
    os.execvp(sys.argv[4], sys.argv[4:])
got = open(sys.argv[3], "ab", buffering=0)
commands, waiting = b"", [ours, 0]
ended, deadline = None, time.monotonic() + 120
while True:
    ready, _, _ = select.select(waiting, [], [], 0.02)
    if ours in ready:
        got.write(os.read(ours, 65536))
    elif ended is not None:
        break
    if 0 in ready:
        read = os.read(0, 4096)
        if not read:
            # The test has failed.
            waiting.remove(0)
            deadline = 0
        commands += read
    while b"\n" in commands:
        line, commands = commands.split(b"\n", 1)
        word, *rest = line.decode().split()
        if word == "key":
            os.write(ours, bytes.fromhex(rest[0]))
        elif word == "size":
            resize(*rest)
        else:
            os.kill(child, int(rest[0]))
    if ended is None:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        pid, status = os.waitpid(child, os.WNOHANG)
        ended = status if pid else None
print(os.waitstatus_to_exitcode(ended), termios.tcgetattr(theirs) == before)
"#;

/// A command that runs on a terminal, killed with the test.
pub struct LiveTerminal {
    python: Child,
    commands: ChildStdin,
    folder: TempDir,
}

/// How a command on a terminal ended.
pub struct LeftTerminal {
    pub status: i32,
    /// Whether the terminal echoes, and reads lines, as before.
    pub is_restored: bool,
    /// All that was written to it.
    pub written: String,
}

impl LiveTerminal {
    pub fn start(command: &Command, lines: u32, columns: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut python = Command::new("python3");
        python.args(["-c", ON_A_TERMINAL, &lines.to_string(), &columns.to_string()]);
        python.arg(folder.path().join("written"));
        let mut python = run_by(python, command);
        python
            .env("TERM", "xterm-256color")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut python = python.spawn().expect("Python starts");
        let commands = python.stdin.take().expect("its input");
        Self {
            python,
            commands,
            folder,
        }
    }

    fn command(&mut self, line: &str) {
        self.commands
            .write_all(format!("{line}\n").as_bytes())
            .expect("a command");
    }

    pub fn press(&mut self, keys: &str) {
        self.command(&format!("key {}", hex::encode(keys)));
    }

    pub fn resize(&mut self, lines: u32, columns: u32) {
        self.command(&format!("size {lines} {columns}"));
    }

    pub fn signal(&mut self, number: u32) {
        self.command(&format!("signal {number}"));
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("written")
    }

    /// All that was written to it so far.
    pub fn written(&self) -> String {
        // Before the first byte there is no file.
        let bytes = fs::read(self.file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What a person sees now.
    pub fn shown(&self) -> String {
        Emulated::of(&self.written()).text()
    }

    pub fn until_shown(&self, what: &str) {
        let mut last = String::new();
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(&format!("the screen shows {what}"), || {
                last = self.shown();
                last.contains(what)
            });
        }));
        assert!(seen.is_ok(), "{what} is not on the screen:\n{last}");
    }

    /// Waits for the end.
    pub fn left(mut self) -> LeftTerminal {
        let mut said = String::new();
        let mut stdout = self.python.stdout.take().expect("its output");
        stdout.read_to_string(&mut said).expect("how it ended");
        self.python.wait().expect("its end");
        let (status, is_restored) = said.trim().split_once(' ').expect("two words");
        LeftTerminal {
            status: status.parse().expect("a status"),
            is_restored: is_restored == "True",
            written: fs::read_to_string(self.folder.path().join("written")).expect("text"),
        }
    }
}

/// As much of a terminal as a full screen needs.
struct Emulated {
    lines: Vec<Vec<char>>,
    line: usize,
    column: usize,
}

impl Emulated {
    fn of(written: &str) -> Self {
        let mut screen = Self {
            lines: Vec::new(),
            line: 0,
            column: 0,
        };
        let mut rest = written;
        while let Some(character) = rest.chars().next() {
            rest = &rest[character.len_utf8()..];
            match character {
                '\u{1b}' => rest = screen.sequence(rest),
                '\r' => screen.column = 0,
                '\n' => screen.line += 1,
                character => screen.put(character),
            }
        }
        screen
    }

    /// Follows an escape sequence, and returns what is behind it.
    fn sequence<'a>(&mut self, text: &'a str) -> &'a str {
        let Some(body) = text.strip_prefix('[') else {
            return text.get(1..).unwrap_or_default();
        };
        let Some(end) = body.find(|character: char| character.is_ascii_alphabetic()) else {
            return "";
        };
        let numbers: Vec<usize> = body[..end]
            .split(';')
            .map(|number| number.parse().unwrap_or(0))
            .collect();
        match (&body[end..=end], &body[..end]) {
            ("H", _) => {
                self.line = numbers[0].saturating_sub(1);
                self.column = numbers.get(1).copied().unwrap_or(1).saturating_sub(1);
            }
            ("J", _) | ("h" | "l", "?1049") => self.lines.clear(),
            ("K", _) => {
                let (line, column) = (self.line, self.column);
                if let Some(line) = self.lines.get_mut(line) {
                    line.truncate(column);
                }
            }
            _ => {}
        }
        &body[end + 1..]
    }

    fn put(&mut self, character: char) {
        if self.lines.len() <= self.line {
            self.lines.resize(self.line + 1, Vec::new());
        }
        let line = &mut self.lines[self.line];
        if line.len() <= self.column {
            line.resize(self.column + 1, ' ');
        }
        line[self.column] = character;
        self.column += character.width().unwrap_or(0).max(1);
    }

    fn text(&self) -> String {
        let lines: Vec<String> = self.lines.iter().map(|line| line.iter().collect()).collect();
        lines.join("\n")
    }
}
