"""
The schema as it stands at the newest revision, for a fresh SQLite file.

Importing Alembic and running it costs half a second of CPU, and the embedded server starts on a
fresh folder most of all. A test holds that a file made by `SNAPSHOT` equals one made by the
migrations; every other database, and every older file, goes through Alembic.
"""

REVISIONS = ("0001", "0002", "0003", "0004", "0005")
"""Every revision there is, oldest first; a database at another one is from a newer junctor."""

HEAD = REVISIONS[-1]

SNAPSHOT = (
    """
    CREATE TABLE alembic_version (
        version_num VARCHAR(32) NOT NULL,
        CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
    )
    """,
    """
    CREATE TABLE api_keys (
        id VARCHAR NOT NULL,
        prefix VARCHAR NOT NULL,
        digest VARCHAR NOT NULL,
        team VARCHAR NOT NULL,
        label VARCHAR NOT NULL,
        created_at BIGINT NOT NULL,
        revoked_at BIGINT,
        CONSTRAINT pk_api_keys PRIMARY KEY (id),
        CONSTRAINT uq_api_keys_prefix UNIQUE (prefix)
    )
    """,
    "CREATE INDEX ix_api_keys_team ON api_keys (team)",
    """
    CREATE TABLE ledger_entries (
        id VARCHAR NOT NULL,
        request_id VARCHAR NOT NULL,
        team VARCHAR NOT NULL,
        key_id VARCHAR NOT NULL,
        contract VARCHAR NOT NULL,
        operation VARCHAR NOT NULL,
        model VARCHAR NOT NULL,
        provider VARCHAR NOT NULL,
        unit VARCHAR NOT NULL,
        frames BIGINT NOT NULL,
        rate BIGINT NOT NULL,
        seconds FLOAT NOT NULL,
        cost BIGINT NOT NULL,
        attempts INTEGER NOT NULL,
        outcome VARCHAR NOT NULL,
        created_at BIGINT NOT NULL,
        settled_at BIGINT NOT NULL,
        prompt_tokens BIGINT DEFAULT 0 NOT NULL,
        completion_tokens BIGINT DEFAULT 0 NOT NULL,
        CONSTRAINT pk_ledger_entries PRIMARY KEY (id)
    )
    """,
    "CREATE INDEX ix_ledger_entries_settled_at ON ledger_entries (settled_at)",
    "CREATE INDEX ix_ledger_entries_team_settled_at ON ledger_entries (team, settled_at)",
    """
    CREATE TABLE artefacts (
        id VARCHAR NOT NULL,
        store VARCHAR NOT NULL,
        team VARCHAR NOT NULL,
        name VARCHAR NOT NULL,
        sha256 VARCHAR NOT NULL,
        size BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        deleted_at BIGINT,
        CONSTRAINT pk_artefacts PRIMARY KEY (id)
    )
    """,
    """
    CREATE INDEX ix_artefacts_store_deleted_at_expires_at
    ON artefacts (store, deleted_at, expires_at)
    """,
    """
    CREATE TABLE idempotency_keys (
        id VARCHAR NOT NULL,
        team VARCHAR NOT NULL,
        digest VARCHAR NOT NULL,
        holder VARCHAR NOT NULL,
        artefact_id VARCHAR,
        created_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        CONSTRAINT pk_idempotency_keys PRIMARY KEY (id)
    )
    """,
    "CREATE INDEX ix_idempotency_keys_expires_at ON idempotency_keys (expires_at)",
    """
    CREATE TABLE audit_records (
        id VARCHAR NOT NULL,
        request_id VARCHAR NOT NULL,
        team VARCHAR NOT NULL,
        key_id VARCHAR NOT NULL,
        audio_sha256 VARCHAR NOT NULL,
        text_hmac VARCHAR NOT NULL,
        frames BIGINT NOT NULL,
        rate BIGINT NOT NULL,
        provider VARCHAR NOT NULL,
        model VARCHAR NOT NULL,
        language VARCHAR NOT NULL,
        outcome VARCHAR NOT NULL,
        is_redacted BOOLEAN NOT NULL,
        created_at BIGINT NOT NULL,
        CONSTRAINT pk_audit_records PRIMARY KEY (id)
    )
    """,
    "CREATE INDEX ix_audit_records_team_created_at ON audit_records (team, created_at)",
    """
    CREATE TABLE jobs (
        id VARCHAR NOT NULL,
        team VARCHAR NOT NULL,
        kind VARCHAR NOT NULL,
        queue VARCHAR NOT NULL,
        priority INTEGER NOT NULL,
        payload VARCHAR NOT NULL,
        digest VARCHAR NOT NULL,
        idempotency_id VARCHAR,
        state VARCHAR NOT NULL,
        progress FLOAT NOT NULL,
        result VARCHAR,
        error VARCHAR,
        attempts INTEGER NOT NULL,
        created_at BIGINT NOT NULL,
        started_at BIGINT,
        finished_at BIGINT,
        callback_url VARCHAR NOT NULL,
        callback_host VARCHAR NOT NULL,
        callback_state VARCHAR NOT NULL,
        callback_tries INTEGER NOT NULL,
        callback_due BIGINT,
        detail VARCHAR,
        sealed INTEGER DEFAULT 0 NOT NULL,
        seconds FLOAT DEFAULT 0 NOT NULL,
        CONSTRAINT pk_jobs PRIMARY KEY (id),
        CONSTRAINT uq_jobs_idempotency_id UNIQUE (idempotency_id)
    )
    """,
    "CREATE INDEX ix_jobs_callback_state_callback_due ON jobs (callback_state, callback_due)",
    "CREATE INDEX ix_jobs_state_finished_at ON jobs (state, finished_at)",
    "CREATE INDEX ix_jobs_state_queue_priority_id ON jobs (state, queue, priority, id)",
    "CREATE INDEX ix_jobs_team_id ON jobs (team, id)",
    "CREATE INDEX ix_jobs_team_state ON jobs (team, state)",
    """
    CREATE TABLE deliveries (
        job_id VARCHAR NOT NULL,
        number INTEGER NOT NULL,
        at BIGINT NOT NULL,
        status INTEGER,
        error VARCHAR NOT NULL,
        seconds FLOAT NOT NULL,
        CONSTRAINT pk_deliveries PRIMARY KEY (job_id, number)
    )
    """,
    """
    CREATE TABLE artefact_chunks (
        artefact VARCHAR NOT NULL,
        number INTEGER NOT NULL,
        data BLOB NOT NULL,
        CONSTRAINT pk_artefact_chunks PRIMARY KEY (artefact, number)
    )
    """,
    f"INSERT INTO alembic_version (version_num) VALUES ('{HEAD}')",  # noqa: S608 - a constant
)
