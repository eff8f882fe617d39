-- Version 8. Never edited once released: a change of the tables is a new file.

-- Receivers of notifications. body: who it is, and its secret; telling: what waits for it, and how the last went.
CREATE TABLE receiver (
    name    TEXT PRIMARY KEY,
    body    TEXT NOT NULL,
    telling TEXT NOT NULL
) STRICT, WITHOUT ROWID;
