"""Events are appended, never edited: PostgreSQL refuses it, whoever asks."""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION events_refuse_edit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Events are append-only: % is refused.', TG_OP;
END $$;
CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE ON events_event
    FOR EACH ROW EXECUTE FUNCTION events_refuse_edit();
"""
BACKWARDS = "DROP TRIGGER events_append_only ON events_event; DROP FUNCTION events_refuse_edit();"


class Migration(migrations.Migration):
    dependencies = [("events", "0001_initial")]
    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
