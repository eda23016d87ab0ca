-- Sets of hashes that grow, take 9 bytes a member when they are large, and expire as a whole.
--
-- Valkey keeps a set of at most 512 integers (`set-max-intset-entries`) as a sorted array of 8 bytes
-- each; a larger set, or one of texts, takes 40 to 55 bytes a member. So members are hashed to
-- integers and spread over buckets, one more for every MEMBERS_PER_BUCKET members (linear hashing:
-- each new bucket takes its members from one bucket alone).
--
--     NAME:N     bucket N, a set of integers
--     NAME:size  number of members; absent while all are in the first bucket
--
-- All keys of a set expire at the same moment, which is fixed when its first member is added. A hash
-- that is added later cannot create a key without an expiry, because no bucket is empty: of a bucket that
-- is split, 100 or more members on average move to the new one, and as many stay. These two numbers follow
-- Poisson's distribution, so the chance that one of them is 0 is 2 e^-100, about 2^-143, or less.

-- The fullest buckets have twice as many members.
local MEMBERS_PER_BUCKET = 200

local hash_sets = {}

local function hash_set(name)
    local set = hash_sets[name]
    if not set then
        local count = tonumber(redis.call('GET', name .. ':size') or redis.call('SCARD', name .. ':0'))
        local buckets = 1 + math.floor(count / MEMBERS_PER_BUCKET)
        set = { count = count, buckets = buckets, doubled_at = 1 }
        while set.doubled_at * 2 <= buckets do
            set.doubled_at = set.doubled_at * 2
        end
        hash_sets[name] = set
    end
    return set
end

local function bucket_number(set, hash)
    local number = tonumber(string.sub(hash, -9)) % (set.doubled_at * 2)
    return number < set.buckets and number or number - set.doubled_at
end

local function add_bucket(name, set)
    local from, new = set.buckets - set.doubled_at, set.buckets
    set.buckets = set.buckets + 1
    if set.buckets == set.doubled_at * 2 then
        set.doubled_at = set.buckets
    end
    local from_key, new_key = name .. ':' .. from, name .. ':' .. new
    local moving = {}
    for _, hash in ipairs(redis.call('SMEMBERS', from_key)) do
        if bucket_number(set, hash) == new then
            moving[#moving + 1] = hash
        end
    end
    -- Empty only if the bucket was deleted, by hand or by a wrong eviction policy.
    if #moving > 0 then
        redis.call('SREM', from_key, unpack(moving))
        redis.call('SADD', new_key, unpack(moving))
        redis.call('PEXPIREAT', new_key, set.ends_at_ms)
    end
end

local function ends_at_ms(name, set, lives_s)
    if set.count > 0 then
        local known = redis.call('PEXPIRETIME', name .. (set.buckets > 1 and ':size' or ':0'))
        if known > 0 then
            return known
        end
    end
    return (redis.call('TIME')[1] + lives_s) * 1000
end

local function hash_set_has(name, hash)
    local set = hash_set(name)
    return redis.call('SISMEMBER', name .. ':' .. bucket_number(set, hash), hash) == 1
end

-- Add `hash`; return whether it was new. A new set expires after `lives_s`.
local function hash_set_add(name, hash, lives_s)
    local set = hash_set(name)
    local key = name .. ':' .. bucket_number(set, hash)
    if redis.call('SADD', key, hash) == 0 then
        return false
    end
    set.ends_at_ms = set.ends_at_ms or ends_at_ms(name, set, lives_s)
    -- NX: only for a new bucket, which is the first one, or one that was deleted meanwhile.
    redis.call('PEXPIREAT', key, set.ends_at_ms, 'NX')
    set.count = set.count + 1
    if set.count >= set.buckets * MEMBERS_PER_BUCKET then
        add_bucket(name, set)
    end
    return true
end

-- Store the number of members of all sets. Called once, at the end of the script.
local function hash_sets_save()
    for name, set in pairs(hash_sets) do
        if set.ends_at_ms and set.buckets > 1 then
            redis.call('SET', name .. ':size', string.format('%d', set.count), 'PXAT', set.ends_at_ms)
        end
    end
end
