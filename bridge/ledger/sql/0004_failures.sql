-- What went wrong lately, in the order in which it was seen; only the newest are kept.
CREATE TABLE failure (
    id      INTEGER PRIMARY KEY,
    stream  INTEGER NOT NULL,
    failure TEXT    NOT NULL  -- Failure as JSON
);
CREATE INDEX failure_by_stream ON failure (stream, id);

-- What the backend has been told of the totals by exports of differences: what these add up to there, and until when.
CREATE TABLE told (
    stream     INTEGER NOT NULL,
    instrument TEXT    NOT NULL,
    attributes TEXT    NOT NULL,
    until_ns   INTEGER NOT NULL,
    sum                NOT NULL,
    count      INTEGER NOT NULL,
    buckets    TEXT    NOT NULL,
    PRIMARY KEY (stream, instrument, attributes)
) WITHOUT ROWID;
ALTER TABLE stream ADD COLUMN told_ns INTEGER;  -- the end of the last such export

-- Exports of differences on their way, byte for byte, and what the backend is told of each series once it takes one.
CREATE TABLE export (
    id       INTEGER PRIMARY KEY,
    stream   INTEGER NOT NULL,
    since_ns INTEGER NOT NULL,
    until_ns INTEGER NOT NULL,
    payload  BLOB    NOT NULL
);
CREATE TABLE export_series (
    stream     INTEGER NOT NULL,
    export     INTEGER NOT NULL,
    instrument TEXT    NOT NULL,
    attributes TEXT    NOT NULL,
    sum                NOT NULL,
    count      INTEGER NOT NULL,
    buckets    TEXT    NOT NULL,
    PRIMARY KEY (export, instrument, attributes)
) WITHOUT ROWID;
