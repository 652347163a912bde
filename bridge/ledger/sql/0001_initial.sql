-- One file can hold several streams (a Letta server towards a destination); every row belongs to one.
CREATE TABLE stream (
    id              INTEGER PRIMARY KEY,
    source          TEXT    NOT NULL,
    destination     TEXT    NOT NULL,
    start_ns        INTEGER NOT NULL,  -- when the totals began to count
    origin_ns       INTEGER,           -- runs created before it are not the stream's business
    watermark_ns    INTEGER,           -- created_at up to which every run is known
    steps_watermark REAL,              -- how far the global step list has been read
    UNIQUE (source, destination)
);

-- The state is the run as the code knows it; the other columns repeat what is searched and counted.
CREATE TABLE run (
    stream      INTEGER NOT NULL,
    id          TEXT    NOT NULL,
    agent_id    TEXT,
    phase       TEXT    NOT NULL,
    status      TEXT,
    stop_reason TEXT,
    created_ns  INTEGER NOT NULL,
    last_visit  REAL    NOT NULL,
    next_visit  REAL    NOT NULL,
    woken       INTEGER NOT NULL DEFAULT 0,  -- until its next visit
    state       TEXT    NOT NULL,            -- FollowedRun as JSON
    PRIMARY KEY (stream, id)
) WITHOUT ROWID;

CREATE INDEX run_by_phase ON run (stream, phase, created_ns);

-- `sum` has no declared type, so that an integer stays an exact one and 2.0 stays a real.
CREATE TABLE series (
    stream     INTEGER NOT NULL,
    instrument TEXT    NOT NULL,
    attributes TEXT    NOT NULL,  -- a JSON object, sorted by name
    sum                NOT NULL,
    count      INTEGER NOT NULL,
    buckets    TEXT    NOT NULL,  -- a JSON array
    PRIMARY KEY (stream, instrument, attributes)
) WITHOUT ROWID;

CREATE TABLE loose_step (
    stream       INTEGER NOT NULL,
    id           TEXT    NOT NULL,
    delivered_at REAL    NOT NULL,
    PRIMARY KEY (stream, id)
) WITHOUT ROWID;

-- At most one batch a stream; its requests are rows of their own, since each can have megabytes.
CREATE TABLE in_flight (
    stream INTEGER PRIMARY KEY,
    spans  INTEGER NOT NULL,
    plan   TEXT    NOT NULL  -- Plan as JSON
);

CREATE TABLE in_flight_payload (
    stream   INTEGER NOT NULL,
    position INTEGER NOT NULL,
    payload  BLOB    NOT NULL,
    PRIMARY KEY (stream, position)
);

CREATE TABLE dead_letter (
    id      INTEGER PRIMARY KEY,
    stream  INTEGER NOT NULL,
    kept_at TEXT    NOT NULL DEFAULT CURRENT_TIMESTAMP,  -- for the reader; nothing is decided by it
    kind    TEXT    NOT NULL,
    source  TEXT    NOT NULL,
    reason  TEXT    NOT NULL,
    payload BLOB    NOT NULL
);

CREATE INDEX dead_letter_by_stream ON dead_letter (stream);
