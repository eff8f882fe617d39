-- Version 2. Never edited once released: a change of the tables is a new file.

-- The settings of the running farm as versioned JSON; null until they are set for the first time.
ALTER TABLE farm ADD COLUMN settings TEXT;

-- How the step's frames are laid out in units by now, as versioned JSON; null is as the job was taken in.
ALTER TABLE step ADD COLUMN chunking TEXT;
