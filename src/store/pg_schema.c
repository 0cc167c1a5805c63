#include "store/pg_schema.h"

/* What must be true of the data is the database's work, whoever writes: this node, another at the
 * same moment, or a human with psql.
 *
 * - unique_keys and refs are checked by the database; foreign keys are deferred: only a whole
 *   transaction has to be consistent, whatever the order in it.
 * - Every change of a row gets a line in `changes`, by trigger, so that no writer can forget it.
 *   Before a statement touches rows, a trigger takes a lock that is held until the transaction
 *   ends. So numbers are taken by one transaction at a time, and become visible in their order: who
 *   has read up to number n will never meet a smaller one. (A number whose transaction was rolled
 *   back is never seen; nobody waits for it.)
 * - Numbers begin with the time of the bootstrap in milliseconds, so that a database that was made
 *   anew is ahead of every node that followed the one before: they load everything again.
 * - `commits` has each commit's token, so that a node whose connection broke can find out, and can
 *   bar a transaction that is still on its way by writing the token first. */
const struct pg_migration pg_migrations[] = {
    {"rows, what is unique, what refers to what, changes, commits, nodes",
     "CREATE TABLE rows ("
     " kind text NOT NULL,"
     " id uuid NOT NULL,"
     " body json NOT NULL," /* keeps its text: the same answers as from SQLite */
     " tags text[] NOT NULL DEFAULT '{}',"
     " created_at timestamptz NOT NULL DEFAULT now(),"
     " updated_at timestamptz NOT NULL DEFAULT now(),"
     " PRIMARY KEY (kind, id));"
     "CREATE INDEX rows_tags ON rows USING gin (tags);"

     "CREATE TABLE unique_keys ("
     " kind text NOT NULL,"
     " field text NOT NULL,"
     " value text NOT NULL,"
     " id uuid NOT NULL,"
     " PRIMARY KEY (kind, field, value),"
     " FOREIGN KEY (kind, id) REFERENCES rows DEFERRABLE INITIALLY DEFERRED);"
     "CREATE INDEX unique_keys_row ON unique_keys (kind, id);"

     "CREATE TABLE refs ("
     " kind text NOT NULL,"
     " id uuid NOT NULL,"
     " field text NOT NULL,"
     " ref_kind text NOT NULL,"
     " ref_id uuid NOT NULL,"
     " PRIMARY KEY (kind, id, field),"
     " FOREIGN KEY (kind, id) REFERENCES rows DEFERRABLE INITIALLY DEFERRED,"
     " FOREIGN KEY (ref_kind, ref_id) REFERENCES rows DEFERRABLE INITIALLY DEFERRED);"
     "CREATE INDEX refs_target ON refs (ref_kind, ref_id);"

     "CREATE SEQUENCE change_numbers AS bigint;"
     "SELECT setval('change_numbers', (extract(epoch FROM clock_timestamp()) * 1000)::bigint);"
     "CREATE TABLE changes ("
     " seq bigint PRIMARY KEY,"
     " kind text NOT NULL,"
     " id uuid NOT NULL,"
     " op text NOT NULL CHECK (op IN ('put', 'remove')),"
     " origin uuid," /* the node's connection; NULL: a human */
     " at timestamptz NOT NULL DEFAULT now());"
     "CREATE INDEX changes_origin ON changes (origin, seq);"

     "CREATE TABLE log (trimmed_through bigint NOT NULL);" /* one row */
     "CREATE UNIQUE INDEX log_one_row ON log ((true));"
     "INSERT INTO log SELECT last_value FROM change_numbers;"

     "CREATE TABLE commits ("
     " token uuid PRIMARY KEY,"
     " seq bigint," /* of its last change; NULL: barred, never to be committed */
     " at timestamptz NOT NULL DEFAULT now());"
     "CREATE INDEX commits_at ON commits (at);"

     "CREATE TABLE nodes ("
     " id uuid PRIMARY KEY,"
     " host text NOT NULL,"
     " version text NOT NULL,"
     " state text NOT NULL,"
     " seq bigint NOT NULL,"
     " started_at timestamptz NOT NULL,"
     " seen_at timestamptz NOT NULL);"

     "CREATE FUNCTION lock_log() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS "
     "$$"
     " BEGIN"
     "  PERFORM pg_advisory_xact_lock(2003134834, hashtext(TG_TABLE_SCHEMA));"
     "  RETURN NULL;"
     " END $$;"

     "CREATE FUNCTION describe_row() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT"
     " AS $$"
     " BEGIN"
     "  NEW.updated_at := now();"
     "  NEW.tags := '{}';"
     "  IF json_typeof(NEW.body) = 'object' AND json_typeof(NEW.body->'tags') = 'array' THEN"
     "   NEW.tags := ARRAY(SELECT json_array_elements_text(NEW.body->'tags'));"
     "  END IF;"
     "  RETURN NEW;"
     " END $$;"

     "CREATE FUNCTION log_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS"
     " $$"
     " DECLARE"
     "  origin uuid := nullif(current_setting('weir.origin', true), '');"
     " BEGIN"
     "  IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND (OLD.kind, OLD.id) <> (NEW.kind, NEW.id)) THEN"
     "   INSERT INTO changes (seq, kind, id, op, origin)"
     "    VALUES (nextval('change_numbers'), OLD.kind, OLD.id, 'remove', origin);"
     "  END IF;"
     "  IF TG_OP <> 'DELETE' THEN"
     "   INSERT INTO changes (seq, kind, id, op, origin)"
     "    VALUES (nextval('change_numbers'), NEW.kind, NEW.id, 'put', origin);"
     "  END IF;"
     "  PERFORM pg_notify('weir_' || TG_TABLE_SCHEMA, '');"
     "  RETURN NULL;"
     " END $$;"

     /* All rows at once: nodes load anew. */
     "CREATE FUNCTION log_truncate() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT"
     " AS $$"
     " BEGIN"
     "  UPDATE log SET trimmed_through = nextval('change_numbers');"
     "  PERFORM pg_notify('weir_' || TG_TABLE_SCHEMA, '');"
     "  RETURN NULL;"
     " END $$;"

     "CREATE TRIGGER lock_log BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON rows"
     " FOR EACH STATEMENT EXECUTE FUNCTION lock_log();"
     "CREATE TRIGGER describe_row BEFORE INSERT OR UPDATE ON rows"
     " FOR EACH ROW EXECUTE FUNCTION describe_row();"
     "CREATE TRIGGER log_change AFTER INSERT OR UPDATE OR DELETE ON rows"
     " FOR EACH ROW EXECUTE FUNCTION log_change();"
     "CREATE TRIGGER log_truncate AFTER TRUNCATE ON rows"
     " FOR EACH STATEMENT EXECUTE FUNCTION log_truncate();"},
};

const int pg_migration_count = sizeof(pg_migrations) / sizeof(pg_migrations[0]);
