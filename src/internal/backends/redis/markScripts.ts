/**
 * The Lua scripts of marks: raising them, reading them, dropping and folding the oldest.
 */
import { everyEntry, maxNameBytes } from "../../markNames.js"
import { maxSkew } from "../../time.js"
import { counting, prelude, type Script, script } from "./scriptParts.js"

/** How many bytes of names one run of a script reads, and a few names more. */
const maxPageBytes = 4 * 1024 * 1024

/** The most bytes of the name of a bucket. */
const maxBucketBytes = 8

/**
 * Visits the names at a rank and above, at most so many, in small steps: another writer may have put names of many
 * megabytes there, which no entry can carry, and all of them at once would take up the memory of the server. They are
 * removed. `visit` returns 'kept', 'removed' or 'stop'. Returns whether the last name was visited.
 */
const walking = `
local repaired = 0
local function walk(rank, most, visit)
  local bytes = 0
  while most > 0 and bytes < ${maxPageBytes} do
    local names = redis.call('ZRANGE', KEYS[1], rank, rank + math.min(most, 10) - 1, 'WITHSCORES')
    if #names == 0 then return true end
    for i = 1, #names, 2 do
      local name, did = names[i], 'removed'
      bytes = bytes + #name
      most = most - 1
      if #name > ${maxNameBytes} then
        repaired = repaired + 1
        redis.call('HDEL', KEYS[2], name)
        redis.call('ZREM', KEYS[1], name)
      else
        did = visit(name, names[i + 1])
      end
      if did == 'stop' then return true end
      if did == 'kept' then rank = rank + 1 end
    end
  end
  return false
end
`

/**
 * Drops the marks that are not needed any more, as `internal/lifespans.ts` does. The key of the lifespans has the longest
 * one, and then stamps and the times at which they were the latest, by turns. Whoever announces a lifespan that is longer
 * stores it where marks exist.
 */
const dropping = `
local words, lifespans = redis.pcall('GET', KEYS[5]), {}
for word in string.gmatch(type(words) == 'string' and not isReset and words or '', '%S+') do
  lifespans[#lifespans + 1] = tonumber(word) or -1
end
local known = lifespans[1] or 0
if not (known >= 0) then known = 0 end
local longest = math.min(math.max(known, lifespan), 1e300)
if changed or (isHead and not isUnmarked and longest > known) then
  local kept = { longest }
  for i = 2, #lifespans - 1, 2 do
    local stamp, at = lifespans[i], lifespans[i + 1]
    -- A later time is broken, or from before the clock was set back.
    if stamp <= count and at <= clock then
      if changed and clock - at > longest then
        floor = math.max(floor, stamp)
      else
        kept[#kept + 1], kept[#kept + 2] = stamp, at
      end
    end
  end
  if changed then
    local last = #kept - 1
    if last < 4 or clock - kept[last - 1] >= longest / 32 then last = #kept + 1 end
    kept[last], kept[last + 1] = count, clock
  end
  for i = 1, #kept do kept[i] = text(kept[i]) end
  redis.call('PERSIST', KEYS[5])
  redis.call('SET', KEYS[5], table.concat(kept, ' '))
end
local function stampIn(hash, name) return usable(redis.call('HGET', hash, name)) or math.huge end
local first = changed and redis.call('ZRANGE', KEYS[1], 1, 1)[1]
-- Where the floor is that of a loss, a faster tier that has all marks overrules it, and stamps may be from its count.
if first and floor ~= lost and stampIn(KEYS[2], first) <= floor then
  walk(1, 1000 + #ARGV, function(name)
    if stampIn(KEYS[2], name) > floor then return 'stop' end
    redis.call('HDEL', KEYS[2], name)
    redis.call('ZREM', KEYS[1], name)
    return 'removed'
  end)
end
if changed and floor ~= lost and stampIn(KEYS[4], '@') <= floor then
  redis.call('DEL', KEYS[4])
  redis.call('HSET', KEYS[2], '#', '0')
end
`

const marking = (isCounted: boolean) => `
local clock = now
${
  isCounted
    ? `if #ARGV > 4 then marked = raise() end
local given = tonumber(string.match(ARGV[3], '^%S+ %S+ %S+ %S+ (%S+)$') or '')
if given then follow(given) end
now = count`
    : "local isLost = false"
}
local function whole(number) return string.format('%.0f', number) end
local function usable(stamp)
  stamp = tonumber(stamp or '')
  return stamp and stamp == stamp and stamp <= latest + ${maxSkew} and stamp or nil
end
${walking}
-- A mark without a usable stamp counts as raised now: what is written later must be valid.
local function stampOf(hash, name, found)
  local stamp = usable(found)
  if stamp then return found end
  repaired = repaired + 1
  ${isCounted ? "now = raise()" : ""}
  redis.call('HSET', hash, name, text(now))
  return text(now)
end
for i, kind in ipairs({ 'zset', 'hash', 'string', 'hash' }) do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= kind and found ~= 'none' then redis.call('DEL', KEYS[i]) end
end
local head = redis.call('GET', KEYS[3])
local floor, version, lost
if head then floor, version, lost = string.match(head, '^(%S+) (%S+) (%S+)$') end
floor, version, lost = tonumber(floor), tonumber(version), tonumber(lost)
-- A broken head counts as lost: NaN compares with nothing, and below a floor of infinity no entry would be valid.
local isHead = floor and version and lost and floor <= now + ${maxSkew} and lost <= now + ${maxSkew} and version <= (now + ${maxSkew}) * 1024
local seen, history, bound, lifespan = string.match(ARGV[3], '^(%S+) ?(%S*) ?(%S*) ?(%S*)')
seen, history, bound = tonumber(seen) or 0, tonumber(history), tonumber(bound) or 1000000
lifespan = tonumber(lifespan) or 1e300
local ofVersions, ofStamps = redis.call('ZSCORE', KEYS[1], '#'), redis.call('HGET', KEYS[2], '#')
local isUnmarked = isHead and version == lost * 1024
local isLoss
-- Buckets that are gone are a loss, too.
if ofStamps == 'folded' and redis.call('EXISTS', KEYS[4]) == 0 then ofStamps = nil end
if isHead and (isUnmarked or (ofVersions and ofStamps)) then
  -- A caller that has seen a higher version has seen marks that a failover or a restart has lost.
  isLoss = history and (seen > version or (history ~= lost and floor < lost))
elseif isHead then
  isLoss = true
elseif ofVersions then
  isLoss = history or ofVersions ~= '-inf' or redis.call('ZCARD', KEYS[1]) > 1
elseif ofStamps then
  isLoss = history or ofStamps ~= 'none' or redis.call('HLEN', KEYS[2]) > 1
else
  isLoss = history or redis.call('EXISTS', KEYS[1], KEYS[2]) > 0
end
isLoss = isLoss or isLost
local changed, isReset = false, false
local function reset(version, stamp)
  isReset = true
  redis.call('DEL', unpack(KEYS, 1, 2))
  if KEYS[4] then redis.call('DEL', KEYS[4]) end
  redis.call('ZADD', KEYS[1], version, '#')
  redis.call('HSET', KEYS[2], '#', stamp)
end
if isLoss then
  floor = math.max(now, isHead and floor or 0)
  lost = floor
  version = math.max(math.floor(math.max(clock, now) * 1024), isHead and version or 0, seen) + 1
  changed = true
  reset('-1e300', '0')
elseif not isHead then
  -- The third word is above the stamps of this call: a floor that equals it is that of a loss.
  version = math.max(math.floor(math.max(clock, now) * 1024), seen) + 1
  floor, lost = -1, version / 1024
  reset('-inf', 'none')
  redis.call('SET', KEYS[3], text(floor) .. ' ' .. whole(version) .. ' ' .. text(lost))
elseif isUnmarked and not (ofVersions and ofStamps) then
  reset('-inf', 'none')
end
local published = {}
-- The floor for a process of the previous release, which does not know the mark of every entry.
local cleared = -math.huge
-- A server without free memory accepts the rest of a script that has removed something.
if #ARGV > ${isCounted ? 4 : 3} then redis.call('ZREM', KEYS[1], '') end
local function mark(name, stamp)
  version = version + 1
  published[#published + 1] = name
  published[#published + 1] = text(stamp)
  redis.call('HSET', KEYS[2], name, text(stamp))
  redis.call('ZADD', KEYS[1], whole(version), name)
end
for i = 4, #ARGV${isCounted ? " - 1" : ""} do
  local name, stamp = ARGV[i], ${isCounted ? "given or now" : "now"}
  changed = true
  local at, expired = string.match(name, '^x (%S+) (.*)$')
  name = expired or name
  if name == '${everyEntry}' then cleared = stamp end
  if name == '*' then
    version = version + 1
    reset('-1e300', '0')
    floor = math.max(floor, stamp)
  else
    local before = usable(redis.call('HGET', KEYS[2], name)) or -math.huge
    local invalidated
    if expired and before <= stamp then
      invalidated = usable(redis.call('HGET', KEYS[2], 'i:' .. name)) or -math.huge
      if before ~= usable(redis.call('HGET', KEYS[2], 'x:' .. name)) then invalidated = math.max(invalidated, before) end
      mark('x:' .. name, stamp)
      mark('e:' .. name, tonumber(at))
    end
    mark(name, math.max(before, stamp))
    if invalidated and invalidated > -math.huge then mark('i:' .. name, invalidated) end
  end
end
${isCounted ? dropping : ""}
-- Beyond the bound the oldest marks fold into buckets, by the hash that markNames.ts computes.
local over = redis.call('ZCARD', KEYS[1]) - 1 - bound
if over > 0 and changed then
  local latestFolded = -math.huge
  local upTo
  walk(1, math.min(over, 1000 + #ARGV), function(name, score)
    local low = 0
    for j = 1, #name + 3 do low = (low * 65599 + (string.byte(name, j) or 0)) % 4294967296 end
    local bucket = string.sub(name, 1, 1) .. math.floor(low / 65536)
    local stamp = usable(redis.call('HGET', KEYS[2], name)) or now
    latestFolded = math.max(latestFolded, stamp)
    if stamp > (usable(redis.call('HGET', KEYS[4], bucket)) or -math.huge) then
      redis.call('HSET', KEYS[4], bucket, text(stamp))
    end
    redis.call('HDEL', KEYS[2], name)
    redis.call('ZREM', KEYS[1], name)
    upTo = score
    return 'removed'
  end)
  if upTo then redis.call('HSET', KEYS[4], '#', upTo) end
  if upTo and latestFolded >= (usable(redis.call('HGET', KEYS[4], '@')) or -math.huge) then
    redis.call('HSET', KEYS[4], '@', text(latestFolded))
  end
  if upTo then redis.call('HSET', KEYS[2], '#', 'folded') end
end
if changed then
  redis.call('SET', KEYS[3], text(floor) .. ' ' .. whole(version) .. ' ' .. text(lost))
  local isAll = cleared > floor
  publish({ f = text(math.max(floor, cleared)), g = isAll and text(floor) or nil, l = text(lost), m = published })
end
local raised, buckets, upTo = {}, {}, version
local since, before = math.max(0, seen), repaired
local isMore = not walk(redis.call('ZCOUNT', KEYS[1], '-inf', whole(since)), 10000, function(name, score)
  raised[#raised + 1] = name
  raised[#raised + 1] = stampOf(KEYS[2], name, redis.call('HGET', KEYS[2], name))
  ${isCounted ? "if tonumber(raised[#raised]) > count and string.sub(name, 1, 2) ~= 'e:' then now = raise() end" : ""}
  since = tonumber(score)
  return 'kept'
end)
if isMore then
  upTo = math.min(version, since)
  -- Versions above that of the head are not from this library, and asking again for them would not end.
  isMore = upTo > seen or repaired > before
end
if (tonumber(redis.call('HGET', KEYS[4], '#')) or 0) > seen then
  local cursor, bytes = '0', 0
  repeat
    local found = redis.call('HSCAN', KEYS[4], cursor, 'COUNT', 10)
    cursor = found[1]
    for i = 1, #found[2], 2 do
      local bucket, stamp = found[2][i], found[2][i + 1]
      if #bucket > ${maxBucketBytes} then
        bytes = bytes + #bucket
        repaired = repaired + 1
        redis.call('HDEL', KEYS[4], bucket)
      else
        if bucket ~= '#' then stamp = stampOf(KEYS[4], bucket, stamp) end
        buckets[#buckets + 1], buckets[#buckets + 2] = bucket, stamp
      end
    end
  until cursor == '0' or bytes >= ${maxPageBytes}
  if cursor ~= '0' then isMore, upTo = true, math.min(version, seen) end
end
${
  isCounted
    ? `-- The marks of an earlier release have the server's time as their stamps.
if floor > count then now = raise() end
if isRaised or isFollowed or isNew then keep() end`
    : ""
}
return { text(floor), whole(upTo), text(lost), text(now), raised, isLoss and '1' or '', buckets, text(repaired), isMore and '1' or '' }
`

/**
 * Raises marks, and returns those that the caller does not know.
 *
 * KEYS: the versions of the marks (a sorted set), their stamps (a hash), their head (floor, version, and the count at
 * which marks were last lost), the buckets (a hash), the lifespans, and the count. ARGV, then: four or five words, namely
 * the version that the caller has seen, the third word of the head that it saw if it knows of marks or '-', how many marks
 * are kept apart, the longest lifespan that it knows of, and the stamp of the marks if another tier has given them one;
 * then the names of the marks to raise, each with 'x', a time and blanks in front if it makes entries stale from that
 * time on (see markNames.ts), and the count that was seen. Returns the head, the count, the marks raised since the version that was seen, '1' if this call found that marks
 * are lost, the buckets if marks that the caller has not seen were folded, how many marks were repaired (stamps that were
 * broken or from the future count as raised now, names that no entry can carry are removed), and '1' if there are more. A mark gets the count as its stamp, whenever it was asked for: a mark that is raised late
 * costs loads at most.
 *
 * At most 10 000 marks are returned, and fewer if their names are long. If there are more, the version in the answer is
 * that of the last one, and the caller asks again with it.
 *
 * A version counts raises. If one of the keys is gone, marks were lost, unless none had been raised: everything older
 * than now becomes invalid, and versions start again above any that can have been given out. The member `#` shows that
 * a key was not lost. A count below what the caller has seen shows that writes were lost, with the same consequence.
 *
 * Redis may evict the keys, or be new, so their absence says nothing about marks. A history in which no mark was raised
 * can be told from each key: the version in the head is 1024 times its third word, `#` has the stamp 'none', and its
 * version is '-inf'. If all keys are gone, marks are lost only if the caller knows of some. So a process that connects
 * begins a new history, and a process that knows marks of an earlier one declares the loss when it sees that.
 */
export const marks: Script = /*#__PURE__*/ script(`${prelude}${counting}${marking(true)}`)

/** Is to `marks` what an envelope without stamps needs: the time of the server takes the place of the count. */
export const marksByTime: Script = /*#__PURE__*/ script(`${prelude}${marking(false)}`)
