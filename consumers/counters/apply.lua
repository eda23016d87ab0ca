-- Apply one batch, or a part of it, to the counts and move the partition's position, all in one call.
-- The text of hash_set.lua precedes this one.
--
-- KEYS[1]  the hash of positions of a generation; all other keys of the generation begin with its
--          prefix (one Valkey, no cluster)
-- KEYS[2]  the number of the generation that is counted into, 1 if absent
-- ARGV     partition, expected offset, topic id ('-': not known), new position, generation, secret
--          key of the hashes, and the batch (MessagePack), see script_input.py; this script builds the names of five keys itself (layout.py)
-- Returns  'applied', or one of these if nothing was counted: the partition's position, if the batch does
--          not follow it; nil, if the partition has none; a text that begins with 'torn', if an
--          earlier call ended half-way (then no later call does anything either); 'generation N', if N
--          is the generation that is counted into; 'secret ' and the stored secret, if it differs from
--          the one in ARGV; 'zone APP ZONE', if the days of an app are those of another zone; 'repeats N
--          N …', the numbers of callbacks whose ids are remembered.
--
-- A position is the next offset, the topic's id, and the last record's offset, sequence and origin.

local partition, expected, topic_id, reached = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local generation, own_secret = ARGV[5], ARGV[6]
-- Add hashes without a look-up only if each bucket gets at most this many on average. The fullest buckets have less
-- than 480 members and then get some 20; one of more than 512 would take far more memory permanently.
local MERGED_PER_BUCKET = 4
-- Sums of sequences are kept modulo 2^52, so that adding two of them is exact in a double.
local SUM_MODULUS = 4503599627370496

local counted_into = redis.call('GET', KEYS[2]) or '1'
if counted_into ~= generation then
    return 'generation ' .. counted_into
end
local position = redis.call('HGET', KEYS[1], partition)
if not position then
    return false
end
local next_offset, stored_id = string.match(position, '^(%d+) (%S+) %S+ %S+ ')
if next_offset ~= expected then
    return position
end
-- A topic id that is not known, on either side, equals any other; a known one stays.
if topic_id == '-' then
    reached = string.gsub(reached, '^(%d+) %S+', '%1 ' .. stored_id)
elseif stored_id ~= '-' and stored_id ~= topic_id then
    return position
end

local prefix = string.match(KEYS[1], '^(.*:)')

-- A script is not rolled back, so every failure that can be foreseen must come before the first write.
for _, command in ipairs({
    'EXISTS', 'EXPIRE', 'GET', 'HGET', 'HINCRBY', 'HSET', 'HSETNX', 'PEXPIREAT', 'PEXPIRETIME', 'PFADD',
    'SADD', 'SCARD', 'SET', 'SMEMBERS', 'SMISMEMBER', 'SREM', 'TIME',
}) do
    if not redis.acl_check_cmd(command, prefix .. 'any', 'any', '1') then
        return redis.error_reply('NOPERM the user may not ' .. command .. ' on ' .. prefix .. '*')
    end
end

redis.call('SET', prefix .. 'secret', own_secret, 'NX')
local secret = redis.call('GET', prefix .. 'secret')
if secret ~= own_secret then
    return 'secret ' .. secret
end

local batch = cmsgpack.unpack(ARGV[7])

for _, of_app in ipairs(batch.zones) do
    local app, zone = unpack(of_app)
    local stored = redis.call('HGET', prefix .. 'zones', app)
    if stored and stored ~= zone then
        return 'zone ' .. app .. ' ' .. stored
    end
end

local repeats = {}
for _, slots in ipairs({ batch.to_remember, batch.to_search }) do
    for _, of_slot in ipairs(slots) do
        local name, hashes, numbers = unpack(of_slot)
        for _, at in ipairs(hash_set_find(name, hashes)) do
            repeats[#repeats + 1] = numbers[at]
        end
    end
end
if #repeats > 0 then
    return 'repeats ' .. table.concat(repeats, ' ')
end

-- From here on a failure would leave half of the batch applied: until the end, the position says so.
redis.call('HSET', KEYS[1], partition, 'torn at ' .. position)

for _, origin in ipairs(batch.origins) do
    local name, applied, sequence_sum = unpack(origin)
    -- By partition: within a partition, an origin's sequences are applied in order.
    local field = name .. '/' .. partition
    local sums = prefix .. 'sequence-sums'
    local sum = (tonumber(redis.call('HGET', sums, field) or '0') + sequence_sum) % SUM_MODULUS
    redis.call('HINCRBY', prefix .. 'applied', field, applied)
    redis.call('HSET', sums, field, string.format('%.0f', sum))
end

for _, of_app in ipairs(batch.zones) do
    local app, zone = unpack(of_app)
    redis.call('SADD', prefix .. 'apps', app)
    redis.call('HSET', prefix .. 'zones', app, zone)
end

for _, of_slot in ipairs(batch.to_remember) do
    hash_set_add(of_slot[1], of_slot[2], batch.ids_ttl_s)
end

-- Add those hashes that are new, up to `exact_max` members in all. Return their indexes, and whether
-- there were too many, which `key` then says in `full_field`.
local function add_new(name, hashes, exact_max, ttl_s, key, full_field)
    local set = hash_set(name)
    if set.count >= exact_max and redis.call('HGET', key, full_field) then
        return {}, true
    end
    local is_present, added, new = {}, {}, {}
    local present = hash_set_find(name, hashes)
    for _, at in ipairs(present) do
        is_present[at] = true
    end
    local room = math.min(#hashes - #present, exact_max - set.count)
    for at = 1, #hashes do
        if #new == room then
            break
        end
        if not is_present[at] then
            added[#added + 1], new[#new + 1] = at, hashes[at]
        end
    end
    hash_set_add(name, new, ttl_s)
    return added, #new < #hashes - #present
end

-- Return whether hashes may be added to a set without a look-up: none is too many, and no bucket gets many.
local function has_room(name, number, exact_max)
    local set = hash_set(name)
    return set.count + number <= exact_max and number <= set.buckets * MERGED_PER_BUCKET
end

for _, people in ipairs(batch.people) do
    local name, hashes, exact_max, ttl_s, key, field, sketched_field = unpack(people)
    -- If the set has expired, people who were in it would be counted again.
    local is_expired = hash_set(name).count == 0 and sketched_field ~= '' and redis.call('HGET', key, field)
    local added, is_incomplete = 0, true
    if not is_expired and has_room(name, #hashes, exact_max) then
        added, is_incomplete = hash_set_merge(name, hashes, ttl_s), false
    elseif not is_expired then
        local indexes
        indexes, is_incomplete = add_new(name, hashes, exact_max, ttl_s, key, sketched_field)
        added = #indexes
    end
    if added > 0 then
        redis.call('HINCRBY', key, field, added)
    end
    if is_incomplete and sketched_field ~= '' then
        redis.call('HSET', key, sketched_field, 1)
    end
end

for _, flag in ipairs(batch.flags) do
    redis.call('HSET', flag[1], flag[2], 1)
end

for _, conversations in ipairs(batch.conversations) do
    local name, hashes, field_numbers, exact_max, totals, uncounted_field, at_s = unpack(conversations)
    local added, is_incomplete = add_new(name, hashes, exact_max, 0, totals, uncounted_field)
    local new_by_fields = {}
    for _, at in ipairs(added) do
        local fields = field_numbers[at]
        new_by_fields[fields] = (new_by_fields[fields] or 0) + 1
    end
    for fields, number in pairs(new_by_fields) do
        for _, counter in ipairs(batch.fields_of_minutes[fields]) do
            redis.call('HINCRBY', counter[1], counter[2], number)
        end
    end
    if is_incomplete then
        redis.call('HSETNX', totals, uncounted_field, at_s)
    end
end

for _, of_key in ipairs(batch.sums) do
    local key, ttl_s, fields = unpack(of_key)
    for field, by in pairs(fields) do
        redis.call('HINCRBY', key, field, by)
    end
    -- The expiry is set when a key is created: if it were renewed, the key might never expire.
    if ttl_s > 0 then
        redis.call('EXPIRE', key, ttl_s, 'NX')
    end
end

-- Commands by names that are not known in advance; above a number of names they are others.
for _, command in ipairs(batch.commands) do
    local key, name, by, names_field, names_max, other = unpack(command)
    if not redis.call('HGET', key, name) then
        if tonumber(redis.call('HGET', key, names_field) or '0') >= names_max then
            name = other
        else
            redis.call('HINCRBY', key, names_field, 1)
        end
    end
    redis.call('HINCRBY', key, name, by)
end

for _, sketch in ipairs(batch.sketches) do
    local key, ttl_s, hashes = unpack(sketch)
    call_in_parts('PFADD', key, hashes)
    if ttl_s > 0 then
        redis.call('EXPIRE', key, ttl_s, 'NX')
    end
end
hash_sets_save()

redis.call('HSET', KEYS[1], partition, reached)
return 'applied'
