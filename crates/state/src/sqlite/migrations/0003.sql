-- Version 3. Never edited once released: a change of the tables is a new file.
--
-- A batch writes what it comes to: each page of frames, each unit and each job's tally once, whatever became of them in
-- between. So triggers that follow every single row go, and a constraint over the page as a whole comes.

DROP TRIGGER accept_once;
DROP TRIGGER accept_is_done;
DROP TRIGGER first_lease_is_tallied;
DROP TRIGGER next_lease_is_tallied;

-- accepted counts the results ever recorded of the page, and only ever goes up by as many as are written at a time. A frame
-- that is accepted twice would count twice and set one bit: the database refuses the page.
ALTER TABLE frame_page RENAME TO frame_page_2;
CREATE TABLE frame_page (
    job      INTEGER NOT NULL,
    step     INTEGER NOT NULL,
    page     INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    done     TEXT NOT NULL CHECK (length(done) = 256),
    given_up TEXT CHECK (length(given_up) = 256),
    failures TEXT,
    PRIMARY KEY (job, step, page),
    FOREIGN KEY (job, step) REFERENCES step ON DELETE CASCADE,
    CONSTRAINT accepted_once CHECK (length(replace(done, '0', '')) = accepted)
) STRICT, WITHOUT ROWID;
INSERT INTO frame_page
SELECT job, step, page, length(replace(done, '0', '')), done, given_up, failures FROM frame_page_2;
DROP TABLE frame_page_2;

-- positions has one bit for each of the page's results (byte i / 8, bit i % 8), so that they can be counted without being
-- read; null where that is not known. It stands before the body, of which SQLite then reads nothing.
ALTER TABLE result_page RENAME TO result_page_2;
CREATE TABLE result_page (
    job       INTEGER NOT NULL,
    step      INTEGER NOT NULL,
    page      INTEGER NOT NULL,
    positions BLOB CHECK (length(positions) = 32),
    body      BLOB NOT NULL,
    PRIMARY KEY (job, step, page),
    FOREIGN KEY (job, step) REFERENCES step ON DELETE CASCADE
) STRICT;
INSERT INTO result_page SELECT job, step, page, NULL, body FROM result_page_2 ORDER BY job, step, page;
DROP TABLE result_page_2;

-- A row that waits is no frame that is done already. The rows of a batch come before its done bits.
CREATE TRIGGER accept_once BEFORE INSERT ON accept
WHEN EXISTS (
    SELECT 1 FROM frame_page
    WHERE job = NEW.job AND step = NEW.step AND page = NEW.position / 256
      AND substr(done, NEW.position % 256 + 1, 1) = '1'
)
BEGIN
    SELECT RAISE(ABORT, 'the frame was accepted before');
END;
