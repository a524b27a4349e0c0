-- The ledger: the only code that places holds, ends them, and moves limits. Everything else calls it (budgets.reserve,
-- budgets.ledger, gateway.teller), one thing at a time or many in one transaction.
--
-- Locks are taken in one order by everybody: reservations by id, then windows by id.

-- What everything below holds to: (fixed + units * rate) / 1,000,000 rounded up, in the resource's unit.
CREATE OR REPLACE FUNCTION budgets_amount(need jsonb, units bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT ceil(((need->>0)::numeric + units * (need->>1)::numeric) / 1000000)::bigint
$$;

-- How many units fit into `room`; -1 when not even none does.
CREATE OR REPLACE FUNCTION budgets_units(room bigint, need jsonb, wanted bigint) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN room::numeric * 1000000 < (need->>0)::numeric THEN -1
        WHEN (need->>1)::numeric = 0 THEN wanted
        ELSE div(room::numeric * 1000000 - (need->>0)::numeric, (need->>1)::numeric)
    END
$$;

-- Where the period that `at` lies in begins, and the next does. Minutes and hours are the same everywhere.
CREATE OR REPLACE FUNCTION budgets_begin(period text, zone text, at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN period IN ('minute', 'hour') THEN date_trunc(period, at, 'UTC') ELSE date_trunc(period, at, zone) END
$$;
CREATE OR REPLACE FUNCTION budgets_end(period text, zone text, at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN period = 'total' THEN NULL
        WHEN period IN ('minute', 'hour') THEN date_trunc(period, at, 'UTC') + ('1 ' || period)::interval
        ELSE (date_trunc(period, at AT TIME ZONE zone) + ('1 ' || period)::interval) AT TIME ZONE zone
    END
$$;

-- Enter a change of a limit, and make it. The caller has locked the window.
CREATE OR REPLACE FUNCTION budgets_move_limit(
    of bigint, by bigint, kind text, key text, who text, at timestamptz
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    w budgets_window;
BEGIN
    UPDATE budgets_window SET
        "limit" = "limit" + by,
        spent = LEAST(spent + overrun, "limit" + by - reserved),
        overrun = GREATEST(spent + overrun - ("limit" + by - reserved), 0),
        exhausted_at = NULL
    WHERE id = of RETURNING * INTO w;
    INSERT INTO budgets_ledgerentry (month, key, kind, project_id, windows, amounts, label, price_version, actor, created_at)
    SELECT date_trunc('month', at, 'UTC')::date, key, kind, b.project_id, ARRAY[of], ARRAY[by], b.resource, '', who, at
    FROM budgets_budget b WHERE b.id = w.budget_id;
END $$;

-- Open a window of a budget, for the period that `at` lies in.
CREATE OR REPLACE FUNCTION budgets_open(of bigint, carried bigint, who text, at timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    b budgets_budget;
    new bigint;
BEGIN
    SELECT * INTO b FROM budgets_budget WHERE id = of;
    INSERT INTO budgets_window (budget_id, holder, resource, starts_at, ends_at, "limit", landing_percent,
                                reserved, spent, overrun, warned, overrun_told)
    VALUES (of, b.holder, b.resource,
            CASE WHEN b.period = 'total' THEN at ELSE budgets_begin(b.period, b.timezone, at) END,
            budgets_end(b.period, b.timezone, at), 0, b.landing_percent, 0, 0, 0, 0, 0)
    RETURNING id INTO new;
    PERFORM budgets_move_limit(new, LEAST(GREATEST(b."limit"::numeric + carried, 0), 4611686018427387904)::bigint, 'limit',
                               'window:' || new || ':opened', who, at);
    RETURN new;
END $$;

-- Close a window whose period is not now, and open the one that `at` lies in. Unused periods in between count as unused.
-- A period that was open before, because a clock went wrong, has what it had left then; and what was used in a period
-- that is still to come was used now.
CREATE OR REPLACE FUNCTION budgets_roll(of bigint, at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    w budgets_window;
    b budgets_budget;
    carried numeric := 0;
    used numeric;
    until timestamptz;
BEGIN
    UPDATE budgets_window SET closed_at = at WHERE id = of RETURNING * INTO w;
    SELECT * INTO b FROM budgets_budget WHERE id = w.budget_id;
    SELECT coalesce(sum(e.spent + e.overrun + e.reserved), 0) INTO used FROM budgets_window e
        WHERE e.budget_id = b.id AND (e.starts_at = budgets_begin(b.period, b.timezone, at) OR e.id = of AND w.starts_at > at);
    IF b.carry_over AND w.starts_at <= at THEN
        carried := GREATEST(w."limit" - w.reserved - w.spent - w.overrun, 0);
        until := budgets_end(b.period, b.timezone, w.ends_at);
        WHILE until <= at LOOP
            carried := carried + b."limit";
            until := budgets_end(b.period, b.timezone, until);
        END LOOP;
    END IF;
    PERFORM budgets_open(b.id, LEAST(carried - used, 4611686018427387904)::bigint, 'system', at);
END $$;

-- Lock every open window of these holders, in order; on return none of them is of a period that is over, or, but for
-- clocks that differ a little, still to come.
CREATE OR REPLACE FUNCTION budgets_lock(holders text[], at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    locked bigint[];
BEGIN
    LOOP
        SELECT array_agg(id) INTO locked FROM (
            SELECT id FROM budgets_window WHERE holder = ANY(holders) AND closed_at IS NULL ORDER BY id FOR UPDATE
        ) AS w;
        PERFORM budgets_roll(id, at) FROM budgets_window
            WHERE id = ANY(locked) AND closed_at IS NULL
                AND (ends_at <= at OR ends_at IS NOT NULL AND starts_at > at + interval '10 minutes') ORDER BY id;
        -- Whoever waited for a row that was closed meanwhile does not see the one that took its place: look again.
        EXIT WHEN NOT EXISTS (
            SELECT FROM budgets_window WHERE holder = ANY(holders) AND closed_at IS NULL AND id <> ALL(coalesce(locked, '{}'))
        );
    END LOOP;
END $$;

-- Place holds. `asked` is a list of {id, key, holders, needs: {resource: [fixed, rate]}, wanted, minimum, project, machine,
-- member, label, price_version, expires}; needs are in millionths. For each, in order: what was granted; or null, with
-- the windows that are too small. Where only what is kept back for landing is left, that is used, and `landing` said.
CREATE OR REPLACE FUNCTION budgets_reserve(asked jsonb, at timestamptz)
RETURNS TABLE (reservation uuid, units bigint, landing boolean, short bigint[]) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    c record;
    usual numeric;
    utmost numeric;
    funded boolean;
    granted bigint;
    ids bigint[];
    sums bigint[];
BEGIN
    PERFORM budgets_lock(ARRAY(
        SELECT DISTINCT holder FROM jsonb_array_elements(asked) AS a, jsonb_array_elements_text(a->'holders') AS holder
    ), at);
    FOR c IN SELECT * FROM jsonb_to_recordset(asked) AS c(
        id uuid, key text, holders text[], needs jsonb, wanted bigint, minimum bigint, project uuid, machine uuid,
        member bigint, label text, price_version text, expires timestamptz
    ) LOOP
        SELECT r.id, r.units, r.landing INTO reservation, units, landing FROM budgets_reservation r WHERE r.key = c.key;
        IF FOUND THEN
            short := NULL;
            RETURN NEXT;
            CONTINUE;
        END IF;
        SELECT min(budgets_units(w.room - w.kept, w.need, c.wanted)), min(budgets_units(w.room, w.need, c.wanted)),
               -- A limit of the system's or a hub's is a ceiling for all: it gives nobody anything.
               coalesce(bool_or(w.resource = 'money' AND w.holder ~ '^(project|member|machine):'), false),
               array_agg(w.id) FILTER (WHERE budgets_units(w.room, w.need, c.wanted) < c.minimum)
        INTO usual, utmost, funded, short
        FROM (
            SELECT w.id, w.holder, w.resource, w."limit" - w.reserved - w.spent - w.overrun AS room,
                   div(w."limit"::numeric * w.landing_percent, 100)::bigint AS kept, c.needs->w.resource AS need
            FROM budgets_window w
            WHERE w.holder = ANY(c.holders) AND w.closed_at IS NULL AND c.needs ? w.resource
        ) AS w;
        landing := usual < c.minimum;
        granted := LEAST(CASE WHEN landing THEN utmost ELSE usual END, c.wanted)::bigint;
        IF granted < c.minimum OR (c.needs ? 'money' AND NOT funded) THEN
            reservation := NULL; units := NULL; landing := NULL; short := coalesce(short, '{}');
            RETURN NEXT;
            CONTINUE;
        END IF;
        WITH holding AS (
            UPDATE budgets_window w SET reserved = w.reserved + budgets_amount(c.needs->w.resource, granted)
            WHERE w.holder = ANY(c.holders) AND w.closed_at IS NULL AND c.needs ? w.resource
            RETURNING w.id, budgets_amount(c.needs->w.resource, granted) AS amount
        )
        SELECT coalesce(array_agg(id), '{}'), coalesce(array_agg(amount), '{}') INTO ids, sums FROM holding;
        INSERT INTO budgets_reservation (id, key, project_id, machine_id, member_id, state, label, price_version, units,
                                         landing, held, windows, amounts, cost_micros, created_at, expires_at)
        SELECT c.id, c.key, c.project, c.machine, c.member, 'held', c.label, c.price_version, granted,
               coalesce(landing, false), jsonb_object_agg(n.key, budgets_amount(n.value, granted)), ids, sums, 0, at, c.expires
        FROM jsonb_each(c.needs) AS n;
        reservation := c.id; units := granted; landing := coalesce(landing, false); short := NULL;
        RETURN NEXT;
    END LOOP;
END $$;

-- End holds. `asked` is a list of {id, to, kind, in_full, figures: {resource: amount, cache_write_tokens}}; `in_full` charges
-- all that was held, but for what figures say otherwise. What has ended is not ended again; but what had expired, and was charged in full, is put right.
-- For each, in order: what it cost in all, in micros, and whether this changed anything.
CREATE OR REPLACE FUNCTION budgets_settle(asked jsonb, at timestamptz)
RETURNS TABLE (cost bigint, changed boolean) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    c record;
    r budgets_reservation;
    before budgets_ledgerentry;
    used jsonb;
    held smallint;
    sums bigint[];
    ids uuid[];
    held_on bigint[];
BEGIN
    SELECT array_agg((a->>'id')::uuid) INTO ids FROM jsonb_array_elements(asked) AS a;
    PERFORM FROM budgets_reservation WHERE id = ANY(ids) ORDER BY id FOR UPDATE;
    SELECT array_agg(DISTINCT w) INTO held_on FROM budgets_reservation r, unnest(r.windows) AS w WHERE r.id = ANY(ids);
    PERFORM FROM budgets_window WHERE id = ANY(held_on) ORDER BY id FOR UPDATE;
    FOR c IN SELECT * FROM jsonb_to_recordset(asked) AS c("id" uuid, "to" text, kind text, in_full boolean, figures jsonb) LOOP
        SELECT * INTO r FROM budgets_reservation WHERE id = c.id;
        changed := r.state = 'held' OR (r.state = 'expired' AND c."to" = 'settled' AND NOT c.in_full);
        IF NOT FOUND OR NOT changed THEN
            cost := coalesce(r.cost_micros, 0); changed := false;
            RETURN NEXT;
            CONTINUE;
        END IF;
        held := (r.state = 'held')::int;
        used := CASE WHEN c.in_full THEN r.held ELSE '{}' END || coalesce(c.figures, '{}');
        before := NULL;
        IF held = 0 THEN
            SELECT * INTO before FROM budgets_ledgerentry e
            WHERE e.key = r.key || '/assumed' AND e.month = date_trunc('month', r.created_at, 'UTC')::date;
        END IF;
        -- What is used beyond the hold is charged as far as there is room; the rest is overrun.
        WITH line AS (
            SELECT l.id, l.amount, l.n, coalesce((used->>w.resource)::bigint, 0) - coalesce(before.amounts[l.n], 0) AS used
            FROM unnest(r.windows, r.amounts) WITH ORDINALITY AS l(id, amount, n) JOIN budgets_window w ON w.id = l.id
        ), charged AS (
            UPDATE budgets_window w SET
                reserved = w.reserved - held * line.amount,
                spent = LEAST(w.spent + w.overrun + line.used, w."limit" - w.reserved + held * line.amount),
                overrun = GREATEST(w.spent + w.overrun + line.used - (w."limit" - w.reserved + held * line.amount), 0)
            FROM line WHERE w.id = line.id
        )
        SELECT coalesce(array_agg(line.used ORDER BY n), '{}') INTO sums FROM line;
        cost := coalesce((used->>'money')::bigint, 0);
        IF c."to" <> 'released' THEN
            INSERT INTO budgets_ledgerentry (
                month, key, kind, reservation_id, project_id, machine_id, member_id, windows, amounts, micros, calls,
                input_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens, output_tokens, wall_seconds, cpu_seconds,
                memory_mb_seconds, storage_mb_seconds, network_bytes, label, price_version, actor, created_at
            ) SELECT
                date_trunc('month', r.created_at, 'UTC')::date,
                r.key || '/' || CASE WHEN held = 1 THEN c.kind ELSE 'correction' END,
                CASE WHEN held = 1 THEN c.kind ELSE 'correction' END,
                r.id, r.project_id, r.machine_id, r.member_id, r.windows, sums,
                cost - coalesce(before.micros, 0),
                coalesce(u.calls, 0) - coalesce(before.calls, 0),
                coalesce(u.input_tokens, 0) - coalesce(u.cache_write_tokens, 0) - coalesce(before.input_tokens, 0),
                -- A bound says the same tokens twice, read anew or from the cache.
                CASE WHEN c.in_full THEN 0 ELSE coalesce(u.cached_tokens, 0) END - coalesce(before.cached_tokens, 0),
                coalesce(u.cache_write_tokens, 0) - coalesce(before.cache_write_tokens, 0),
                coalesce(u.cache_write_1h_tokens, 0) - coalesce(before.cache_write_1h_tokens, 0),
                coalesce(u.output_tokens, 0) - coalesce(before.output_tokens, 0),
                coalesce(u.wall_seconds, 0) - coalesce(before.wall_seconds, 0),
                coalesce(u.cpu_seconds, 0) - coalesce(before.cpu_seconds, 0),
                coalesce(u.memory_mb_seconds, 0) - coalesce(before.memory_mb_seconds, 0),
                coalesce(u.storage_mb_seconds, 0) - coalesce(before.storage_mb_seconds, 0),
                coalesce(u.network_bytes, 0) - coalesce(before.network_bytes, 0),
                r.label, r.price_version, '', at
            FROM jsonb_to_record(used) AS u(
                calls smallint, input_tokens bigint, cached_tokens bigint, cache_write_tokens bigint,
                cache_write_1h_tokens bigint, output_tokens bigint,
                wall_seconds bigint, cpu_seconds bigint, memory_mb_seconds bigint, storage_mb_seconds bigint,
                network_bytes bigint
            );
        END IF;
        UPDATE budgets_reservation SET state = c."to", cost_micros = cost, ended_at = at WHERE id = r.id;
        RETURN NEXT;
    END LOOP;
END $$;

-- Nothing is edited or taken away, but where a database that tests run on is emptied between them.
CREATE OR REPLACE FUNCTION budgets_ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' AND current_setting('autovibe.flush', true) = 'on' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'The ledger is append-only: enter a correction instead.';
END $$;

-- Make the ledger's partitions from this month to `months` ahead; what is there stays.
CREATE OR REPLACE FUNCTION budgets_partitions(since date, months int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first date;
    name text;
BEGIN
    FOR first IN SELECT generate_series(date_trunc('month', since), since + months * interval '1 month', interval '1 month') LOOP
        name := 'budgets_ledgerentry_' || to_char(first, 'YYYY_MM');
        CONTINUE WHEN to_regclass(name) IS NOT NULL;
        -- Entries that came before their partition stay where they are.
        CONTINUE WHEN EXISTS (SELECT FROM budgets_ledgerentry_default e WHERE e.month = first);
        EXECUTE format('CREATE TABLE %I PARTITION OF budgets_ledgerentry FOR VALUES FROM (%L) TO (%L)',
                       name, first, (first + interval '1 month')::date);
        -- Partitions inherit the triggers of rows only.
        EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %I '
                       'FOR EACH STATEMENT EXECUTE FUNCTION budgets_ledger_is_append_only()', name);
    END LOOP;
END $$;
