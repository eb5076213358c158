//! A real PostgreSQL server, started and stopped by the tests.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;

use super::kafka::wait_for;

/// Runs an asynchronous call to its end.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

/// Runs the server until standard input ends, which the end of the test process guarantees.
///
/// Then it ends the server with SIGQUIT: nothing is written first, as in a crash, and no process is left behind.
const TIED_TO_STDIN: &str = r#"
"$@" &
read -r _
kill -QUIT $!
wait $!
"#;

/// A server that listens on a socket in its own folder. It is removed with the test.
pub struct Postgres {
    process: Option<Child>,
    folder: TempDir,
}

impl Postgres {
    /// Starts a server. By default it sorts text by the rules of a language, not by bytes.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder for PostgreSQL");
        if let Some((user, group)) = server_user() {
            chown(folder.path(), Some(user), Some(group)).expect("the folder is given to another user");
        }
        let mut server = Self { process: None, folder };
        let mut initdb = server.program("initdb");
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"]);
        initdb.args(["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en"]);
        initdb.arg("--pgdata").arg(server.data());
        let output = initdb.output().expect("initdb starts");
        assert!(
            output.status.success(),
            "initdb failed, {}:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        server.restart();
        server
    }

    /// Ends the server, if it runs, as a crash would.
    pub fn crash(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.stdin.take());
            process.wait().expect("the server's end");
        }
    }

    /// Starts the server again on the same data. Returns when it answers.
    pub fn restart(&mut self) {
        self.crash();
        let postgres = self.program("postgres");
        let mut command = as_server_user("sh");
        command.args(["-c", TIED_TO_STDIN, "sh"]).arg(postgres.get_program());
        command.arg("-D").arg(self.data());
        // A killed consumer loses no written page, so no page needs to be forced to the disk.
        for setting in ["listen_addresses=", "fsync=off", "shared_buffers=16MB"] {
            command.args(["-c", setting]);
        }
        let sockets = format!("unix_socket_directories={}", self.folder.path().display());
        let log = File::create(self.folder.path().join("log")).expect("the server's log");
        command.args(["-c", &sockets]).stdin(Stdio::piped());
        command.stdout(log.try_clone().expect("the log again")).stderr(log);
        self.process = Some(command.spawn().expect("a shell starts"));
        let url = self.url("postgres");
        wait_for("PostgreSQL to answer", || block_on(PgConnection::connect(&url)).ok());
    }

    /// Creates a database. Returns its URL.
    pub fn create(&self, name: &str) -> String {
        block_on(async {
            let mut connection = PgConnection::connect(&self.url("postgres"))
                .await
                .expect("a connection");
            let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
            sqlx::raw_sql(create)
                .execute(&mut connection)
                .await
                .expect("a database");
        });
        self.url(name)
    }

    fn url(&self, database: &str) -> String {
        format!(
            "postgres://postgres@localhost/{database}?host={}",
            self.folder.path().display()
        )
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        let path = programs().join(name);
        assert!(
            path.exists(),
            "{} is missing: `make test-setup` installs it",
            path.display()
        );
        as_server_user(path)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.crash();
        if std::thread::panicking() {
            let said = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            eprintln!("PostgreSQL said:\n{said}");
        }
    }
}

/// The folder of the newest server's programs, as Debian packages them.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let versions = versions.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let version = versions.max().unwrap_or_default();
    Path::new("/usr/lib/postgresql").join(version.to_string()).join("bin")
}

/// A command, run by another user if the test runs as root: the server refuses root.
fn as_server_user(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = server_user() {
        command.uid(user).gid(group);
    }
    command.current_dir("/").stdin(Stdio::null());
    command
}

/// The user and group for the server, if the test runs as root: those that the package created.
fn server_user() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").expect("this process").uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("the users");
    let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let postgres = fields.into_iter().find(|fields| fields[0] == "postgres");
    let postgres = postgres.expect("PostgreSQL's user: `make test-setup` installs it");
    let number = |at: usize| postgres[at].parse().expect("a number");
    Some((number(2), number(3)))
}
