-- Apply one batch to the counts and move the partition's position: all in this one call.
--
-- KEYS[1]  the hash of positions; all other keys begin with its prefix (one Valkey, no cluster)
-- ARGV     partition, expected offset, next offset, last record's offset and place ('' keeps it),
--          seconds to remember, seconds to keep minutes, people counted exactly at most,
--          and the batch (MessagePack), see counts.py
-- Returns  'applied'; the offset where the partition stands, or nil if nowhere: nothing was done;
--          'torn' if an earlier call ended half-way: nothing was done, and nothing will be.

local partition, expected, next_offset, place = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local remember_s, keep_minutes_s, people_exact_max = ARGV[5], ARGV[6], tonumber(ARGV[7])
-- Sums of sequences are kept modulo 2^52, so that adding two of them is exact in a double.
local SUM_MODULUS = 4503599627370496

local position = redis.call('HGET', KEYS[1], partition)
if not position then
    return false
end
local stands_at, old_place = string.match(position, '^(%d+) (.*)$')
if not stands_at then
    return 'torn'
elseif stands_at ~= expected then
    return tonumber(stands_at)
end

local prefix = string.match(KEYS[1], '^(.*:)')

-- A script is not rolled back, so what can be known to fail must fail before the first write.
for _, command in ipairs({ 'EXPIRE', 'HGET', 'HINCRBY', 'HSET', 'PFADD', 'SADD', 'SCARD' }) do
    if not redis.acl_check_cmd(command, prefix .. 'any', 'any', '1') then
        return redis.error_reply('NOPERM the user may not ' .. command .. ' on ' .. prefix .. '*')
    end
end

local expiries = {}

local function seen_before(app, window, id)
    local key = prefix .. 'seen:' .. app .. ':' .. window
    expiries[key] = remember_s
    return redis.call('SADD', key, id) == 0
end

local function count_in_minute(app, hour, minute, kind, people)
    local people_key = prefix .. 'minute-people:' .. app .. ':' .. hour .. ':' .. minute
    local minutes_key = prefix .. 'minutes:' .. app .. ':' .. hour
    expiries[people_key], expiries[minutes_key] = remember_s, keep_minutes_s
    redis.call('HINCRBY', minutes_key, minute .. ':' .. kind, 1)
    if #people > 0 then
        local new = redis.call('SADD', people_key, unpack(people))
        redis.call('HINCRBY', minutes_key, minute .. ':people', new)
    end
end

local function count_people(app, people)
    if #people == 0 then
        return
    end
    local exact = prefix .. 'people:' .. app
    redis.call('PFADD', prefix .. 'people-sketch:' .. app, unpack(people))
    if redis.call('SCARD', exact) < people_exact_max then
        redis.call('SADD', exact, unpack(people))
    else
        redis.call('HSET', prefix .. 'totals:' .. app, 'people_sketched', 1)
    end
end

local batch = cmsgpack.unpack(ARGV[8])

-- From here on a failure would leave half of the batch: the position says so until the end.
redis.call('HSET', KEYS[1], partition, 'torn at ' .. position)

for _, origin in ipairs(batch.origins) do
    local name, applied, sequence_sum = unpack(origin)
    -- By partition: within one, an origin's sequences are applied in order.
    local field = name .. '/' .. partition
    local sums = prefix .. 'sequence-sums'
    local sum = (tonumber(redis.call('HGET', sums, field) or '0') + sequence_sum) % SUM_MODULUS
    redis.call('HINCRBY', prefix .. 'applied', field, applied)
    redis.call('HSET', sums, field, string.format('%.0f', sum))
end

for _, callback in ipairs(batch.callbacks) do
    local app, command, window, id, kind, hour, minute, people = unpack(callback)
    local totals = prefix .. 'totals:' .. app
    redis.call('SADD', prefix .. 'apps', app)
    if seen_before(app, window, id) then
        redis.call('HINCRBY', totals, 'repeats', 1)
    else
        redis.call('HINCRBY', totals, 'command:' .. command, 1)
        if kind ~= '' then
            redis.call('HINCRBY', totals, kind, 1)
            count_in_minute(app, hour, minute, kind, people)
            count_people(app, people)
        end
    end
end

for key, seconds in pairs(expiries) do
    redis.call('EXPIRE', key, seconds)
end

redis.call('HSET', KEYS[1], partition, next_offset .. ' ' .. (place ~= '' and place or old_place))
return 'applied'
