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
-- All keys of a set expire at the same moment, which is fixed when its first members are added. A bucket
-- that is empty, or was deleted, gets that expiry when a member is added to it.

-- On average; the fullest buckets have up to twice as many members.
local MEMBERS_PER_BUCKET = 200
-- Lua passes at most some 8000 values to a call.
local VALUES_MAX = 4000

local hash_sets = {}

local function hash_set(name)
    local set = hash_sets[name]
    if not set then
        local count = tonumber(redis.call('GET', name .. ':size') or redis.call('SCARD', name .. ':0'))
        local buckets = 1 + math.floor(count / MEMBERS_PER_BUCKET)
        set = { count = count, buckets = buckets, doubled_at = 1, is_changed = false }
        while set.doubled_at * 2 <= buckets do
            set.doubled_at = set.doubled_at * 2
        end
        hash_sets[name] = set
    end
    return set
end

-- Return the indexes of hashes in the list, by bucket.
local function by_bucket(set, hashes)
    if set.sorted == hashes and set.sorted_at == set.buckets then
        return set.by_bucket
    end
    local buckets, doubled, doubled_at, count, sub = {}, set.doubled_at * 2, set.doubled_at, set.buckets, string.sub
    for at = 1, #hashes do
        local number = sub(hashes[at], -9) % doubled
        if number >= count then
            number = number - doubled_at
        end
        local bucket = buckets[number]
        if bucket then
            bucket[#bucket + 1] = at
        else
            buckets[number] = { at }
        end
    end
    -- The same list is usually looked up first, and then added.
    set.sorted, set.sorted_at, set.by_bucket = hashes, count, buckets
    return buckets
end

-- Call a command with a key and many values, in parts; return the sum of the answers.
local function call_in_parts(command, key, values)
    local sum = 0
    for first = 1, #values, VALUES_MAX do
        sum = sum + redis.call(command, key, unpack(values, first, math.min(first + VALUES_MAX - 1, #values)))
    end
    return sum
end

-- Return those hashes that are in the set, as their indexes in `hashes`.
local function hash_set_find(name, hashes)
    local set = hash_set(name)
    local present = {}
    if set.count == 0 then
        return present
    end
    for number, indexes in pairs(by_bucket(set, hashes)) do
        local key = name .. ':' .. number
        for first = 1, #indexes, VALUES_MAX do
            local part = {}
            for at = first, math.min(first + VALUES_MAX - 1, #indexes) do
                part[#part + 1] = hashes[indexes[at]]
            end
            local are_members = redis.call('SMISMEMBER', key, unpack(part))
            for at = 1, #part do
                if are_members[at] == 1 then
                    present[#present + 1] = indexes[first + at - 1]
                end
            end
        end
    end
    return present
end

local function expire(key, set)
    if set.ends_at_ms then
        -- NX: only a key that is new, or was deleted meanwhile.
        redis.call('PEXPIREAT', key, set.ends_at_ms, 'NX')
    end
end

-- Return whether at least one of these buckets does not exist.
local function is_any_absent(name, buckets)
    local keys = {}
    for number in pairs(buckets) do
        keys[#keys + 1] = name .. ':' .. number
    end
    for first = 1, #keys, VALUES_MAX do
        local last = math.min(first + VALUES_MAX - 1, #keys)
        if redis.call('EXISTS', unpack(keys, first, last)) <= last - first then
            return true
        end
    end
    return false
end

local function add_bucket(name, set)
    -- Linear hashing: the members of bucket `from` whose number modulo `doubled` is that of the new bucket
    -- move there; all others stay.
    local from, new = set.buckets - set.doubled_at, set.buckets
    set.buckets = set.buckets + 1
    if set.buckets == set.doubled_at * 2 then
        set.doubled_at = set.buckets
    end
    if set.count == 0 then
        return
    end
    local from_key, new_key = name .. ':' .. from, name .. ':' .. new
    local moving, members, sub, doubled = {}, redis.call('SMEMBERS', from_key), string.sub, 2 * new - 2 * from
    for at = 1, #members do
        if sub(members[at], -9) % doubled == new then
            moving[#moving + 1] = members[at]
        end
    end
    -- Empty only if the bucket was deleted, by hand or by a wrong eviction policy.
    if #moving > 0 then
        call_in_parts('SREM', from_key, moving)
        call_in_parts('SADD', new_key, moving)
        expire(new_key, set)
    end
end

-- Fix the moment when the set expires, if it is not known. A new set expires after `ttl_s`; 0: never.
local function fix_expiry(name, set, ttl_s)
    if ttl_s > 0 and not set.ends_at_ms then
        local known = set.count > 0 and redis.call('PEXPIRETIME', name .. (set.buckets > 1 and ':size' or ':0')) or 0
        set.ends_at_ms = known > 0 and known or (redis.call('TIME')[1] + ttl_s) * 1000
    end
end

local function add_buckets_for(name, set, count)
    while set.buckets * MEMBERS_PER_BUCKET <= count do
        add_bucket(name, set)
    end
end

-- Add hashes to their buckets; return how many of them were not in the set.
local function add_to_buckets(name, set, hashes, was_empty)
    local buckets, added = by_bucket(set, hashes), 0
    local are_new = set.ends_at_ms and (was_empty or is_any_absent(name, buckets))
    for number, indexes in pairs(buckets) do
        local key, values = name .. ':' .. number, {}
        for at = 1, #indexes do
            values[at] = hashes[indexes[at]]
        end
        added = added + call_in_parts('SADD', key, values)
        if are_new then
            expire(key, set)
        end
    end
    return added
end

-- Add hashes that are not in the set.
local function hash_set_add(name, hashes, ttl_s)
    if #hashes == 0 then
        return
    end
    local set = hash_set(name)
    fix_expiry(name, set, ttl_s)
    local count, was_empty = set.count + #hashes, set.count == 0
    -- Before the hashes are added: a bucket of more than 512 members would take far more memory permanently.
    add_buckets_for(name, set, count)
    set.count, set.is_changed = count, true
    add_to_buckets(name, set, hashes, was_empty)
end

-- Add hashes of which some may be in the set, few to a bucket; return how many of them were not in it.
local function hash_set_merge(name, hashes, ttl_s)
    local set = hash_set(name)
    fix_expiry(name, set, ttl_s)
    local added = add_to_buckets(name, set, hashes, set.count == 0)
    if added > 0 then
        set.count, set.is_changed = set.count + added, true
        add_buckets_for(name, set, set.count)
    end
    return added
end

-- Store the number of members of all sets. Called once, at the end of the script.
local function hash_sets_save()
    for name, set in pairs(hash_sets) do
        if set.is_changed and set.buckets > 1 then
            local size = string.format('%d', set.count)
            if set.ends_at_ms then
                redis.call('SET', name .. ':size', size, 'PXAT', set.ends_at_ms)
            else
                redis.call('SET', name .. ':size', size)
            end
        end
    end
end
