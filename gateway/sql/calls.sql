-- A call's two moments in the database, for many calls at once: let in, and concluded. The money is budgets' part.

-- `asked` is what `budgets_reserve` takes, without whose budgets they are, and with {digest: of the machine's token, currency,
-- dialect, model, offline}. One row per call whose token is a living one, with its place in the list; without a
-- reservation it was refused: because the machine is not at work, the project's circuit breaker holds it back, for want of
-- budget, or, where `short` is null, because its books are in another currency. `departures` is what its project and it itself say
-- otherwise than its type of when checkpoints are taken.
CREATE OR REPLACE FUNCTION gateway_admit(asked jsonb, at timestamptz) RETURNS TABLE (
    place bigint, machine uuid, handle int, machine_type text, state text, continues boolean, project uuid,
    replays uuid, run uuid, departures jsonb, number int, reservation uuid, units bigint, landing boolean, short bigint[], held_back boolean
) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    known jsonb;
    c record;
BEGIN
    SELECT coalesce(jsonb_agg(a.value || jsonb_build_object(
        'place', a.ordinality, 'machine', m.id, 'handle', m.number, 'type', m.type, 'state', m.state,
        'continues', m.continues, 'project', m.project_id, 'member', m.created_by_id, 'replays', m.replays_id, 'run', m.run,
        'departures', coalesce(k.policy, '{}') || m.checkpoints,
        'payable', p.currency = a.value->>'currency', 'held_back', b.project_id IS NOT NULL,
        'holders', CASE WHEN p.currency = a.value->>'currency' AND b.project_id IS NULL
                        AND m.state IN ('provisioning', 'running', 'resuming', 'restoring') THEN to_jsonb(array_remove(ARRAY[
            'system', 'hub:' || p.hub, 'project:' || m.project_id, 'machine:' || m.id, 'member:' || m.project_id || ':' || m.created_by_id
        ], NULL)) ELSE '[]' END,
        -- What a replay plays was paid for when it was recorded.
        'needs', CASE WHEN m.replays_id IS NULL THEN a.value->'needs' ELSE (a.value->'needs') || '{"money": [0, 0]}' END
    ) ORDER BY a.ordinality), '[]') INTO known
    FROM jsonb_array_elements(asked) WITH ORDINALITY AS a
        JOIN machines_machinetoken t ON t.digest = a.value->>'digest' AND t.revoked_at IS NULL
        JOIN machines_machine m ON m.id = t.machine_id
        JOIN projects_project p ON p.id = m.project_id
        LEFT JOIN checkpoints_rules k ON k.project_id = m.project_id
        LEFT JOIN budgets_breaker b ON b.project_id = m.project_id AND b.state <> 'closed' AND b.probe IS DISTINCT FROM m.id;
    FOR c IN
        SELECT k.value AS call, r.* FROM jsonb_array_elements(known) WITH ORDINALITY AS k
        JOIN budgets_reserve(known, at) WITH ORDINALITY AS r(reservation, units, landing, short, ordinality) USING (ordinality)
        ORDER BY ordinality
    LOOP
        place := c.call->>'place'; machine := c.call->>'machine'; handle := c.call->>'handle';
        machine_type := c.call->>'type'; state := c.call->>'state'; continues := c.call->>'continues';
        project := c.call->>'project'; replays := c.call->>'replays'; run := c.call->>'run';
        departures := c.call->'departures';
        reservation := c.reservation; units := c.units; landing := c.landing;
        short := CASE WHEN (c.call->>'payable')::boolean THEN c.short END;
        held_back := c.call->>'held_back';
        number := NULL;
        IF reservation IS NOT NULL THEN
            -- The project's budget for money is locked since, so numbers are given one at a time.
            INSERT INTO gateway_call AS g (
                id, machine_id, number, reservation_id, request_id, model, dialect, upstream, attempts, offline, state,
                error, input_tokens, cached_tokens, cache_write_tokens, output_tokens, cost_micros, started_at, stall_ms
            ) SELECT
                (c.call->>'id')::uuid, machine, coalesce(max(g.number), 0) + 1, reservation, '', c.call->>'model',
                c.call->>'dialect', '', 0, (c.call->>'offline')::boolean, 'admitted', '', 0, 0, 0, 0, 0, at, 0
            FROM gateway_call g WHERE g.machine_id = machine
            ON CONFLICT (id) DO UPDATE SET state = g.state
            RETURNING g.number INTO number;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

-- `asked` is what `budgets_settle` takes, with {call: {…}}: the columns to write of the call. What `reap` had to assume is
-- put right; what is done already stays. The cost of each, in order.
CREATE OR REPLACE FUNCTION gateway_conclude(asked jsonb, at timestamptz) RETURNS TABLE (cost bigint) LANGUAGE plpgsql AS $$
DECLARE
    costs bigint[];
BEGIN
    SELECT array_agg(s.cost ORDER BY s.ordinality) INTO costs
    FROM budgets_settle(asked, at) WITH ORDINALITY AS s(cost, changed, ordinality);
    UPDATE gateway_call g SET
        state = c.state, status = c.status, request_id = c.request_id, error = c.error, upstream = c.upstream,
        attempts = c.attempts, input_tokens = c.input_tokens, cached_tokens = c.cached_tokens,
        cache_write_tokens = c.cache_write_tokens, output_tokens = c.output_tokens, cost_micros = costs[a.ordinality],
        first_byte_ms = c.first_byte_ms, stall_ms = c.stall_ms, duration_ms = c.duration_ms
    FROM jsonb_array_elements(asked) WITH ORDINALITY AS a, jsonb_to_record(a.value->'call') AS c(
        id uuid, state text, status smallint, request_id text, error text, upstream text, attempts smallint,
        input_tokens bigint, cached_tokens bigint, cache_write_tokens bigint, output_tokens bigint,
        first_byte_ms int, stall_ms int, duration_ms int
    )
    WHERE g.id = c.id AND g.state IN ('admitted', 'streaming', 'failed');
    RETURN QUERY SELECT unnest(costs);
END $$;
