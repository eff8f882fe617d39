-- Version 1. Never edited once released: a change of the tables is a new file.

-- The farm's own counters, in one row. next_job and next_worker never fall, so that no id is used twice.
CREATE TABLE farm (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    term        INTEGER NOT NULL,
    next_job    INTEGER NOT NULL,
    next_worker INTEGER NOT NULL
) STRICT;
INSERT INTO farm VALUES (1, 0, 1, 1);

-- added: the job as it was taken in. settings and build: as they are now.
CREATE TABLE job (
    id       INTEGER PRIMARY KEY,
    added    TEXT NOT NULL,
    settings TEXT NOT NULL,
    build    TEXT,
    state    TEXT NOT NULL CHECK (state IN ('active', 'paused', 'cancelled', 'done', 'failed'))
) STRICT;

-- What was ever counted of a job; the triggers below count. Apart from the job, whose row is large.
CREATE TABLE tally (
    job      INTEGER PRIMARY KEY REFERENCES job ON DELETE CASCADE,
    leases   INTEGER NOT NULL,
    failures INTEGER NOT NULL
) STRICT;
CREATE TRIGGER job_is_tallied AFTER INSERT ON job
BEGIN
    INSERT INTO tally VALUES (NEW.id, 0, 0);
END;

CREATE TABLE step (
    job    INTEGER NOT NULL REFERENCES job ON DELETE CASCADE,
    step   INTEGER NOT NULL,
    frames INTEGER NOT NULL,
    PRIMARY KEY (job, step)
) STRICT, WITHOUT ROWID;

-- 256 positions of a step. done and given_up hold one '0' or '1' for each position, failures a JSON object of counts by
-- place in the page; null is none at all. Text, so that the triggers below need nothing but substr.
CREATE TABLE frame_page (
    job      INTEGER NOT NULL,
    step     INTEGER NOT NULL,
    page     INTEGER NOT NULL,
    done     TEXT NOT NULL CHECK (length(done) = 256),
    given_up TEXT CHECK (length(given_up) = 256),
    failures TEXT,
    PRIMARY KEY (job, step, page),
    FOREIGN KEY (job, step) REFERENCES step ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Results not packed yet, one row a frame.
CREATE TABLE accept (
    job      INTEGER NOT NULL,
    step     INTEGER NOT NULL,
    position INTEGER NOT NULL,
    body     BLOB NOT NULL,
    PRIMARY KEY (job, step, position),
    FOREIGN KEY (job, step) REFERENCES step ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Results packed together, one row for up to 256 frames.
CREATE TABLE result_page (
    job  INTEGER NOT NULL,
    step INTEGER NOT NULL,
    page INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (job, step, page),
    FOREIGN KEY (job, step) REFERENCES step ON DELETE CASCADE
) STRICT;

-- A frame is accepted once, whether its result is packed by now or not: the done bit remembers it.
CREATE TRIGGER accept_once BEFORE INSERT ON accept
WHEN EXISTS (
    SELECT 1 FROM frame_page
    WHERE job = NEW.job AND step = NEW.step AND page = NEW.position / 256
      AND substr(done, NEW.position % 256 + 1, 1) = '1'
)
BEGIN
    SELECT RAISE(ABORT, 'the frame was accepted before');
END;

-- A frame that is done is neither given up nor failing.
CREATE TRIGGER accept_is_done AFTER INSERT ON accept
BEGIN
    INSERT INTO frame_page (job, step, page, done)
    SELECT NEW.job, NEW.step, NEW.position / 256, hex(zeroblob(128))
    WHERE NOT EXISTS (
        SELECT 1 FROM frame_page
        WHERE job = NEW.job AND step = NEW.step AND page = NEW.position / 256
    );
    UPDATE frame_page SET
        done = substr(done, 1, NEW.position % 256) || '1' || substr(done, NEW.position % 256 + 2),
        given_up = substr(given_up, 1, NEW.position % 256) || '0' || substr(given_up, NEW.position % 256 + 2),
        failures = json_remove(failures, '$."' || (NEW.position % 256) || '"')
    WHERE job = NEW.job AND step = NEW.step AND page = NEW.position / 256;
END;

CREATE TABLE frame_error (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    job      INTEGER NOT NULL,
    step     INTEGER NOT NULL,
    position INTEGER NOT NULL,
    unit     INTEGER NOT NULL,
    attempt  INTEGER NOT NULL,
    body     TEXT NOT NULL,
    UNIQUE (job, step, position, unit, attempt),
    FOREIGN KEY (job, step) REFERENCES step ON DELETE CASCADE
) STRICT;
CREATE INDEX frame_error_of_job ON frame_error (job, seq);
CREATE TRIGGER failure_is_tallied AFTER INSERT ON frame_error
BEGIN
    UPDATE tally SET failures = failures + 1 WHERE job = NEW.job;
END;

CREATE TABLE worker (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL
) STRICT;

-- The highest attempt of each unit that is not closed.
CREATE TABLE unit_attempt (
    job     INTEGER NOT NULL,
    step    INTEGER NOT NULL,
    unit    INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    PRIMARY KEY (job, step, unit),
    FOREIGN KEY (job, step) REFERENCES step ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Every attempt is a handing-out; a lapsed lease taken up again is none.
CREATE TRIGGER first_lease_is_tallied AFTER INSERT ON unit_attempt
BEGIN
    UPDATE tally SET leases = leases + 1 WHERE job = NEW.job;
END;
CREATE TRIGGER next_lease_is_tallied AFTER UPDATE OF attempt ON unit_attempt
WHEN NEW.attempt > OLD.attempt
BEGIN
    UPDATE tally SET leases = leases + 1 WHERE job = NEW.job;
END;

-- What is in workers' hands. Closing a unit takes its leases with it.
CREATE TABLE lease (
    job     INTEGER NOT NULL,
    step    INTEGER NOT NULL,
    unit    INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    worker  INTEGER NOT NULL REFERENCES worker ON DELETE CASCADE,
    PRIMARY KEY (job, step, unit, attempt),
    FOREIGN KEY (job, step, unit) REFERENCES unit_attempt ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX lease_of_worker ON lease (worker);

CREATE TABLE job_block (
    job    INTEGER NOT NULL REFERENCES job ON DELETE CASCADE,
    worker INTEGER NOT NULL REFERENCES worker ON DELETE CASCADE,
    PRIMARY KEY (job, worker)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_block_of_worker ON job_block (worker);

CREATE TABLE token (
    id   TEXT PRIMARY KEY,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE pairing (
    hash BLOB PRIMARY KEY,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- No reference to the worker: a certificate is remembered longer than its holder.
CREATE TABLE certificate (
    serial  TEXT PRIMARY KEY,
    body    TEXT NOT NULL,
    revoked INTEGER NOT NULL CHECK (revoked IN (0, 1))
) STRICT, WITHOUT ROWID;
