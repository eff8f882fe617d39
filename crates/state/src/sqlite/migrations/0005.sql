-- Version 5. Never edited once released: a change of the tables is a new file.

-- The last mark that a client has brought all that was delivered of the job to a place of its own: how many frames that were, and
-- when, in milliseconds since 1970; null if there is none. Of jobs from before nobody knows, and what nobody knows to be fetched stays.
ALTER TABLE job ADD COLUMN fetched_frames INTEGER;
ALTER TABLE job ADD COLUMN fetched_at INTEGER CHECK ((fetched_at IS NULL) = (fetched_frames IS NULL));
