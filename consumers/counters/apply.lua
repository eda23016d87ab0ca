-- Apply one batch to the counts and move the partition's position, all in one call.
-- The text of hash_set.lua precedes this one.
--
-- KEYS[1]  the hash of positions; all other keys begin with its prefix (one Valkey, no cluster)
-- ARGV     partition, expected offset, topic id ('-': not known), new position, seconds to remember,
--          seconds to keep minutes, maximum of people counted exactly, the batch (MessagePack), see
--          script_input.py, and the secret key of the hashes
-- Returns  'applied', or one of these if nothing was done: the partition's position, if the batch does
--          not follow it; nil, if the partition has none; a text that begins with 'torn', if an
--          earlier call ended half-way (then no later call does anything either); 'secret ' and
--          the stored secret, if it differs from the one in ARGV.
--
-- A position is the next offset, the topic's id, and the last record's offset, sequence and origin.

local partition, expected, topic_id, reached = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local remember_s, keep_minutes_s, people_exact_max = ARGV[5], ARGV[6], tonumber(ARGV[7])
local HOUR_S = 3600
local PEOPLE_AT_ONCE = 100
-- Sums of sequences are kept modulo 2^52, so that adding two of them is exact in a double.
local SUM_MODULUS = 4503599627370496

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
    'EXPIRE', 'GET', 'HGET', 'HINCRBY', 'HSET', 'PEXPIREAT', 'PEXPIRETIME', 'PFADD', 'SADD', 'SCARD', 'SET',
    'SISMEMBER', 'SMEMBERS', 'SREM', 'TIME',
}) do
    if not redis.acl_check_cmd(command, prefix .. 'any', 'any', '1') then
        return redis.error_reply('NOPERM the user may not ' .. command .. ' on ' .. prefix .. '*')
    end
end

redis.call('SET', prefix .. 'secret', ARGV[9], 'NX')
local secret = redis.call('GET', prefix .. 'secret')
if secret ~= ARGV[9] then
    return 'secret ' .. secret
end

-- The increments of the batch, by key and field; written once at the end.
local increments, expiries, people_of_apps = {}, {}, {}

local function increment(key, field)
    local fields = increments[key]
    if not fields then
        fields = {}
        increments[key] = fields
    end
    fields[field] = (fields[field] or 0) + 1
end

-- Return whether an id is remembered in any of the hours; if not, remember it in the first hour.
local function seen_before(app, hours, id_hash)
    local ids = prefix .. 'ids:' .. app .. ':'
    for at = 2, #hours do
        if hash_set_has(ids .. hours[at], id_hash) then
            return true
        end
    end
    -- The last id of the hour must be remembered as long as the first, so the set lives an hour longer.
    return not hash_set_add(ids .. hours[1], id_hash, remember_s + HOUR_S)
end

local function count_in_minute(app, hour, minute, kinds, people_hashes)
    local minutes = prefix .. 'minutes:' .. app .. ':' .. hour
    local accounts = prefix .. 'minute-accounts:' .. app .. ':' .. hour .. ':' .. minute
    expiries[minutes] = keep_minutes_s
    for _, kind in ipairs(kinds) do
        increment(minutes, minute .. ':' .. kind)
    end
    for _, hash in ipairs(people_hashes) do
        if hash_set_add(accounts, hash, remember_s + HOUR_S) then
            increment(minutes, minute .. ':people')
        end
    end
end

local function note_people(app, people)
    local known = people_of_apps[app] or {}
    people_of_apps[app] = known
    for _, account in ipairs(people) do
        if not known[account] then
            known[account] = true
            known[#known + 1] = account
        end
    end
end

local function count_people(app, people)
    local exact = prefix .. 'people:' .. app
    for first = 1, #people, PEOPLE_AT_ONCE do
        local last = math.min(first + PEOPLE_AT_ONCE - 1, #people)
        redis.call('PFADD', prefix .. 'people-sketch:' .. app, unpack(people, first, last))
        if redis.call('SCARD', exact) + last - first < people_exact_max then
            redis.call('SADD', exact, unpack(people, first, last))
        else
            redis.call('HSET', prefix .. 'totals:' .. app, 'people_sketched', 1)
        end
    end
end

local batch = cmsgpack.unpack(ARGV[8])

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

for _, callback in ipairs(batch.callbacks) do
    local app, command, hours, id_hash, kinds, hour, minute, people, people_hashes = unpack(callback)
    local totals = prefix .. 'totals:' .. app
    if #hours > 0 and seen_before(app, hours, id_hash) then
        increment(totals, 'repeats')
    else
        increment(totals, 'command:' .. command)
        for _, kind in ipairs(kinds) do
            increment(totals, kind)
        end
        if #kinds > 0 then
            count_in_minute(app, hour, minute, kinds, people_hashes)
        end
        note_people(app, people)
    end
end

for app, people in pairs(people_of_apps) do
    redis.call('SADD', prefix .. 'apps', app)
    count_people(app, people)
end
for key, fields in pairs(increments) do
    for field, by in pairs(fields) do
        redis.call('HINCRBY', key, field, by)
    end
end
-- The expiry is set when a key is created: if it were renewed, the key might never expire.
for key, seconds in pairs(expiries) do
    redis.call('EXPIRE', key, seconds, 'NX')
end
hash_sets_save()

redis.call('HSET', KEYS[1], partition, reached)
return 'applied'
