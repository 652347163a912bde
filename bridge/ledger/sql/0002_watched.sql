-- A closed run may be watched for late changes, so that the tombstones are now the many: a table with row numbers,
-- whose indexes are small, and for each question an index that leaves out the rows it is not about.
ALTER TABLE run RENAME TO run_1;
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
    keep_until  REAL    NOT NULL,  -- of a closed run: kept until then, and looked at when next_visit comes
    woken       INTEGER NOT NULL,  -- until its next visit; a closed run: that it was listed with a change
    state       TEXT    NOT NULL,  -- FollowedRun as JSON, without what has its default
    UNIQUE (stream, id)
);
INSERT INTO run
SELECT stream, id, agent_id, phase, status, stop_reason, created_ns, last_visit, next_visit, 0, woken, state
FROM run_1;
DROP TABLE run_1;

CREATE INDEX run_followed ON run (stream, phase, created_ns) WHERE phase <> 'closed';
CREATE INDEX run_look ON run (stream, woken, next_visit) WHERE phase = 'closed';
CREATE INDEX run_kept ON run (stream, keep_until) WHERE phase = 'closed';
CREATE INDEX run_asking ON run (stream) WHERE stop_reason = 'requires_approval';
CREATE INDEX run_by_agent ON run (stream, agent_id, created_ns);

-- What the payload is sent as; the traces of a batch come before its logs.
ALTER TABLE in_flight_payload ADD COLUMN signal TEXT NOT NULL DEFAULT 'traces';

-- A number never comes back, so that whoever settles a letter by its number settles no other.
ALTER TABLE dead_letter RENAME TO dead_letter_1;
CREATE TABLE dead_letter (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    stream  INTEGER NOT NULL,
    kept_at TEXT    NOT NULL DEFAULT CURRENT_TIMESTAMP,  -- for the reader; nothing is decided by it
    kind    TEXT    NOT NULL,
    source  TEXT    NOT NULL,
    reason  TEXT    NOT NULL,
    payload BLOB    NOT NULL
);
INSERT INTO dead_letter SELECT id, stream, kept_at, kind, source, reason, payload FROM dead_letter_1;
DROP TABLE dead_letter_1;
CREATE INDEX dead_letter_by_stream ON dead_letter (stream);
