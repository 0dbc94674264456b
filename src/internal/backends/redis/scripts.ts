/**
 * The Lua scripts: conditional writes, removals, locks and marks, each atomic in the server.
 *
 * Stamps decide every conflict, in the time of the server, so that law 8 (invalidation wins) holds among processes. The
 * offsets in an envelope are those of `Envelope.v1`.
 *
 * Each script takes first, in ARGV, the channel on which it publishes and the id of the process that runs it. A message
 * is JSON without values, with the id of the process as `n`, and one of these:
 *
 * - `k`: keys and their stamps, by turns
 * - `m`: marks and their stamps, by turns; with the floor `f`, and `l`, the time at which marks were last lost
 * - `u`: the key of a lock that was released
 *
 * A change of which no process can hold an older copy is not published: a loaded value for a key that had none.
 */

import type { Buffer } from "node:buffer"
import { sha1 } from "@noble/hashes/legacy.js"
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js"
import { countStep, maxSkew } from "../../time.js"
import { maxCount } from "./count.js"

export interface Script {
  readonly text: string
  readonly digest: string
}

export type Args = ReadonlyArray<string | Buffer>

const script = (text: string): Script => ({ text, digest: bytesToHex(sha1(utf8ToBytes(text))) })

/**
 * The helpers of the scripts.
 *
 * - `now` is the time of the server in milliseconds.
 * - `stampIn` is the stamp of an envelope. It is `-infinity` for nothing, for bytes that are not an envelope, and for a
 *   stamp more than a minute above `latest`: broken data must not be protected from being overwritten.
 * - `put` keeps the bytes for `least` milliseconds at least.
 */
const prelude = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
local latest = now
local function text(stamp) return string.format('%.17g', stamp) end
local function header(key, last)
  local found = redis.pcall('GETRANGE', key, 0, last)
  if type(found) ~= 'string' or #found < 12 or string.sub(found, 1, 3) ~= 'EC\\1' then return nil end
  return found
end
local function stampIn(found)
  if not found then return -math.huge end
  local stamp = struct.unpack('>d', string.sub(found, 5, 12))
  if stamp ~= stamp or stamp > latest + ${maxSkew} then return -math.huge end
  return stamp
end
local function put(key, bytes, lifetime, least)
  if lifetime == '' then return redis.call('SET', key, bytes) end
  if least and tonumber(lifetime) < least then lifetime = string.format('%.0f', least) end
  redis.call('SET', key, bytes, 'PX', lifetime)
end
-- A write that is superseded was carried out: the stamp that shows it must stay as long as its own would.
local function stays(key, least)
  local left = redis.call('PTTL', key)
  if left >= 0 and left < least then redis.call('PEXPIRE', key, string.format('%.0f', least)) end
end
-- Two loads may have one stamp. Of two values the one that was created later stays, and a tombstone stays.
local function givesWay(found, bytes)
  return #found == 20 and string.byte(found, 4) % 2 == 0
    and struct.unpack('>d', string.sub(found, 13, 20)) <= struct.unpack('>d', string.sub(bytes, 13, 20))
end
local function stamped(bytes, stamp)
  return string.sub(bytes, 1, 4) .. struct.pack('>d', stamp) .. string.sub(bytes, 13)
end
local channel, process = ARGV[1], ARGV[2]
local function publish(message)
  message.n = process
  redis.call('PUBLISH', channel, cjson.encode(message))
end
`

/** For how many milliseconds a tombstone outlasts its lifetime at most. A count of garbage may be far ahead. */
const longestAhead = 86_400_000

/**
 * Reads the count of the store: the last of KEYS, with the highest count that the caller has seen as the last of ARGV.
 *
 * - `count` is the count. It never goes back, and a new one is not below the time of the server.
 * - `written` and `marked` are the counts at the latest set or removal, and at the latest mark or ticket.
 * - `raise` raises the count, and stores it, once in a script.
 * - `isLate(stamp, age)` tells that a tombstone above `stamp` may have expired: something was written since, and the
 *   count has moved on by more than `age` milliseconds.
 *
 * - `ahead` is by how many milliseconds the count is ahead of a clock that was set back. What `isLate` cannot tell yet must
 *   stay for so much longer, because it expires by the clock.
 *
 * A count below what the caller has seen was lost, and so was what it counted.
 */
const counting = `
local counter, seen = KEYS[#KEYS], tonumber(ARGV[#ARGV])
local found = redis.pcall('GET', counter)
local count, written, marked
if type(found) == 'string' then count, written, marked = string.match(found, '^(%S+) (%S+) (%S+)$') end
count, written, marked = tonumber(count), tonumber(written), tonumber(marked)
if not (count and written and marked and count >= 0 and count < ${maxCount} and written <= count and marked <= count) then
  count = nil
end
local isRaised = false
-- PERSIST changes nothing. A server without free memory rejects SET, unless the script has run a command that needs none.
local function keep()
  redis.call('PERSIST', counter)
  redis.call('SET', counter, text(count) .. ' ' .. text(written) .. ' ' .. text(marked))
end
local isLost = count and count < seen
if not count or isLost then
  count = math.max(now, seen, count or 0) + ${countStep}
  written, marked = count, count
  isRaised = true
end
latest = math.max(latest, count)
local ahead = math.min(math.max(0, math.ceil(count + ${countStep} - now)), ${longestAhead})
local function raise()
  if not isRaised then count = math.max(count + ${countStep}, now) end
  isRaised = true
  return count
end
local function isLate(stamp, age)
  return written > stamp and math.max(count, now) - stamp > age
end
`

/** On a cluster, the count is on another node, whose clock may be ahead: what the caller has seen of it is in ARGV. */
const elsewhere = `
latest = math.max(now, tonumber(ARGV[#ARGV]))
`

/**
 * A server without free memory rejects the first command of a script that needs some, and accepts all commands once the
 * script has run one that needs none. So what invalidates goes through, and `place` keeps values within the limit: it
 * writes a value for which there is no memory only in place of one that is at least as long.
 */
const placing = `
local isFull = false
local function place(key, bytes, lifetime, least)
  if lifetime ~= '' and least and tonumber(lifetime) < least then lifetime = string.format('%.0f', least) end
  if not isFull then
    local answer = redis.pcall('SET', key, bytes, unpack(lifetime == '' and {} or { 'PX', lifetime }))
    if not answer.err then return true end
    if not string.find(answer.err, 'OOM', 1, true) then put(key, bytes, lifetime) end
    isFull = true
  end
  local length = redis.pcall('STRLEN', key)
  if type(length) ~= 'number' or length < #bytes then return false end
  redis.call('DEL', key)
  put(key, bytes, lifetime)
  return true
end
`

/**
 * Writes `entries` entries, the first of KEYS, with six arguments for each. Without a count, as on a cluster, whose
 * count is on one node, every authoritative write has a ticket.
 */
const setting = (entries: string, isCounted: boolean) => `${placing}
local out, changed = {}, {}
${isCounted ? "local seenWritten, seenMarked = written, marked" : ""}
for i = 1, ${entries} do
  local at = 6 * i - 3
  local bytes, lifetime, kind, age, least, announces = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]), ARGV[at + 5]
  local found = header(KEYS[i], 19)
  local there = stampIn(found)
  local isLoad = kind == 'load'
  local stamp = isLoad and struct.unpack('>d', string.sub(bytes, 5, 12)) or tonumber(kind)
  local answer
  ${
    isCounted
      ? `if kind == 'first' then
    if there < seen + ${countStep} and seenMarked <= seen and not (seenWritten > seen and math.max(count, now) - seen > least) then
      stamp = raise()
      written = stamp
    else
      marked = raise()
      answer = 'again ' .. text(marked)
    end
  elseif age and (stamp > latest + ${countStep} or isLate(stamp, age)) then
    answer = 'late'
  elseif age and announces == '2' then
    marked = raise()
  elseif not isLoad then
    if isLate(stamp, least) then answer = 'late' else raise(); written = count end
  end`
      : ""
  }
  if answer then
    out[i] = answer
  elseif there < stamp or (there == stamp and (not isLoad or givesWay(found, bytes))) then
    ${isCounted ? "least = least + ahead" : ""}
    if isLoad then
      -- The stamp of what is replaced must stay as long as it would have stayed.
      local left = found and lifetime ~= '' and least > tonumber(lifetime) and redis.call('PTTL', KEYS[i]) or 0
      if left ~= -1 then least = math.min(least, left) end
    end
    local announced = not isLoad or announces ~= '' or (found and string.byte(found, 4) % 2 == 0)
    if place(KEYS[i], stamped(bytes, stamp), lifetime, least) then
      out[i] = text(stamp)
    else
      -- A value that was set waits for memory, what it replaces does not.
      announced = not isLoad or (found and announces == '2')
      if announced then redis.call('DEL', KEYS[i]) end
      out[i] = 'full'
    end
    if announced then
      changed[#changed + 1] = KEYS[i]
      changed[#changed + 1] = text(stamp)
    end
  else
    if not isLoad and found then stays(KEYS[i], least${isCounted ? " + ahead" : ""}) end
    out[i] = ''
  end
end
${isCounted ? "if isRaised then keep() end" : ""}
if #changed > 0 then publish({ k = changed }) end
return out
`

/**
 * Writes entries that are not older than what is stored.
 *
 * KEYS: entries, then the count. ARGV, then, for each:
 *
 * - the envelope
 * - the lifetime in ms, or '' for ever
 * - 'load' for a loaded value, which keeps its stamp; 'first' for an authoritative write, or its ticket
 * - for a loaded value, the number of ms after its stamp within which it may be written, or ''
 * - the number of ms for which its stamp must stay at least
 * - '1' to publish it also if nothing was stored; '2' for a value that was set and is sent again, and for a copy
 *
 * Then the count that was seen. Returns for each its stamp; '' if something newer is stored; 'late' if it came too late;
 * 'full' if the server has no memory for it: an authoritative write then has deleted what it was to replace; 'again' and
 * a ticket, if something was written since the count that was seen. An authoritative write gets a new
 * stamp at its first attempt only if nothing was: it may run after its process has given it up, and something that was
 * asked for later must win. With a ticket its place among the writes is settled, whenever it runs. A value that is sent
 * again keeps its stamp, and counts as a ticket: what its process gave up before must not come after it.
 */
export const set: Script = /*#__PURE__*/ script(`${prelude}${counting}
${setting("#KEYS - 1", true)}`)

/** Is to `set` what the node of a slot on a cluster runs: it has no count, so every authoritative write has a ticket. */
export const setOnNode: Script = /*#__PURE__*/ script(`${prelude}${elsewhere}
${setting("#KEYS", false)}`)

/**
 * Writes one entry while its lock has a token. KEYS: the entry, its lock, then the count. ARGV, then: as of `set`, the
 * token, and the count that was seen. Returns a list as `set` does, with 'fenced' if the lock has another token or
 * none.
 */
export const setFenced: Script = /*#__PURE__*/ script(`${prelude}
if redis.call('GET', KEYS[2]) ~= ARGV[9] then return { 'fenced' } end
${counting}
${setting("1", true)}`)

/** Is to `setFenced` what `setOnNode` is to `set`. */
export const setFencedOnNode: Script = /*#__PURE__*/ script(`${prelude}
if redis.call('GET', KEYS[2]) ~= ARGV[9] then return { 'fenced' } end
${elsewhere}
${setting("1", false)}`)

const settingIfAbsent = (isCounted: boolean) => `
local found = header(KEYS[1], 35)
local there = stampIn(found)
if found and #found == 36 and there ~= -math.huge and string.byte(found, 4) % 2 == 0 then
  local expires = struct.unpack('>d', string.sub(found, 29, 36))
  if expires > tonumber(ARGV[5]) and there ~= tonumber(ARGV[6]) then return '' end
end
local stamp, least = tonumber(ARGV[7]), tonumber(ARGV[8])
${
  isCounted
    ? `if stamp then
  if isLate(stamp, least) then return 'late' end
  raise()
elseif there >= seen + ${countStep} or marked > seen or (written > seen and math.max(count, now) - seen > least) then
  marked = raise()
  keep()
  return 'again ' .. text(marked)
else
  stamp = raise()
end
written = count`
    : ""
}
if there > stamp then return '' end
put(KEYS[1], stamped(ARGV[3], stamp), ARGV[4], least${isCounted ? " + ahead" : ""})
${isCounted ? "keep()" : ""}
publish({ k = { KEYS[1], text(stamp) } })
return text(stamp)
`

/**
 * Writes an entry if none is stored that is alive. KEYS: the entry, then the count. ARGV, then: the envelope, the
 * lifetime, the time of the caller, the stamp of an entry that counts as dead, or '', the ticket, or 'first', the number
 * of ms for which its stamp must stay at least, and the count that was seen. Returns the stamp, '' if one is alive, or
 * as `set` does.
 */
export const setIfAbsent: Script = /*#__PURE__*/ script(`${prelude}${counting}
${settingIfAbsent(true)}`)

/** Is to `setIfAbsent` what `setOnNode` is to `set`. */
export const setIfAbsentOnNode: Script = /*#__PURE__*/ script(`${prelude}${elsewhere}
${settingIfAbsent(false)}`)

const removing = (entries: string, isCounted: boolean) => `
local out, changed = {}, {}
${isCounted ? "local stamp = raise()" : ""}
for i = 1, ${entries} do
  local lifetime = ARGV[2 * i + 1]
  local there = stampIn(header(KEYS[i], 11))
  ${isCounted ? `if there > count then count = there + ${countStep} end` : "local stamp = tonumber(ARGV[2 * i + 2])"}
  ${isCounted ? "stamp = count" : ""}
  if there <= stamp then
    redis.call('DEL', KEYS[i])
    put(KEYS[i], 'EC\\1\\1' .. struct.pack('>d', stamp), ${isCounted ? "string.format('%.0f', tonumber(lifetime) + ahead)" : "lifetime"})
  else
    stays(KEYS[i], tonumber(lifetime))
  end
  out[i] = text(stamp)
  changed[#changed + 1] = KEYS[i]
  changed[#changed + 1] = out[i]
end
${isCounted ? "written = count; keep()" : ""}
publish({ k = changed })
return out
`

/**
 * Replaces entries by tombstones, whatever is stored: a removal that runs late costs a load at most. KEYS: entries, then
 * the count. ARGV, then, for each: the lifetime of the tombstone, and the ticket, which only `removeOnNode` reads; then
 * the count that was seen. Returns their stamps. The entry is deleted first, so that a server without free memory has
 * some for the tombstone.
 */
export const remove: Script = /*#__PURE__*/ script(`${prelude}${counting}
${removing("#KEYS - 1", true)}`)

/** Is to `remove` what `setOnNode` is to `set`. */
export const removeOnNode: Script = /*#__PURE__*/ script(`${prelude}${elsewhere}
${removing("#KEYS", false)}`)

/**
 * Removes a dead entry, if the beginning of what is stored has not changed. KEYS: the entry. ARGV: the bytes that it
 * begins with, which contain the stamp and the times; and for how many ms after its stamp it leaves a tombstone. Without
 * that, the first are all its bytes. Returns 1 if it was removed.
 *
 * It takes neither a channel nor a process, because nobody is notified: no process returns a dead entry. A load that
 * began before the stamp is late once that age has passed, so a tombstone is not needed longer.
 */
export const free: Script = /*#__PURE__*/ script(`
local key, expected, age = KEYS[1], ARGV[1], tonumber(ARGV[2])
if redis.pcall('GETRANGE', key, 0, #expected - 1) ~= expected then return 0 end
if not age then
  if redis.call('STRLEN', key) ~= #expected then return 0 end
  return redis.call('DEL', key)
end
local time = redis.call('TIME')
local stamp = struct.unpack('>d', string.sub(expected, 5, 12))
local left = math.ceil(stamp + age - tonumber(time[1]) * 1000 - tonumber(time[2]) / 1000)
redis.call('DEL', key)
if left > 0 and left < ${longestAhead} + age then
  redis.call('SET', key, 'EC\\1\\1' .. string.sub(expected, 5, 12), 'PX', left)
end
return 1
`)

/**
 * Raises the count. KEYS: the count. ARGV, then: the count that was seen. Returns the count, which is a ticket: every
 * write that was carried out before has a lower stamp.
 */
export const raise: Script = /*#__PURE__*/ script(`${prelude}${counting}
marked = raise()
keep()
return text(marked)
`)

/** As `setting`, with three arguments for each. */
const putting = (count: string) => `${placing}
local out, changed = {}, {}
for i = 1, ${count} do
  local bytes, lifetime, stamp = ARGV[3 * i], ARGV[3 * i + 1], text(math.min(now, tonumber(ARGV[3 * i + 2])))
  if lifetime == '0' then
    redis.call('DEL', KEYS[i])
    stamp = text(now)
    out[i] = stamp
  else
    out[i] = place(KEYS[i], bytes, lifetime) and 'put' or 'full'
    if out[i] == 'full' then redis.call('DEL', KEYS[i]) end
  end
  changed[2 * i - 1], changed[2 * i] = KEYS[i], stamp
end
publish({ k = changed })
return out
`

/**
 * Writes and removes entries in another form than `Envelope.v1`, which scripts do not read: the last write wins, and
 * every write is published. KEYS: entries. ARGV, then, for each: the envelope; the lifetime, or '0' to remove it; its
 * stamp. Returns 'put' for what was written, the stamp of what was removed, and 'full' for what the server has no memory
 * for, which is then absent.
 */
export const put: Script = /*#__PURE__*/ script(`${prelude}
${putting("#KEYS")}`)

/** Is to `put` what `setFenced` is to `set`. */
export const putFenced: Script = /*#__PURE__*/ script(`${prelude}
if redis.call('GET', KEYS[2]) ~= ARGV[6] then return { 'fenced' } end
${putting("1")}`)

/**
 * Writes an entry in another form than `Envelope.v1` if what is stored has not changed. KEYS: the entry. ARGV, then:
 * the envelope, the lifetime, the stamp, and the bytes that are stored, or ''. Returns 'put', or '' if they have
 * changed.
 */
export const putInstead: Script = /*#__PURE__*/ script(`${prelude}
local found = redis.pcall('GET', KEYS[1])
if (type(found) == 'string' and found or '') ~= ARGV[6] then return '' end
put(KEYS[1], ARGV[3], ARGV[4])
publish({ k = { KEYS[1], text(math.min(now, tonumber(ARGV[5]))) } })
return 'put'
`)

/** By how many milliseconds the lease of another process may be longer than that of this one. */
const longestLease = 86_400_000

/**
 * Acquires a lock. KEYS: the lock. ARGV, then: a token, the lease in ms. Returns 0, or the number of ms for which
 * another process holds it at most. A lock without an end, or that ends more than a day after its lease would, was not
 * taken by this library, and nobody would give it back. It begins with DEL, so that a server without free memory grants locks.
 */
export const lock: Script = /*#__PURE__*/ script(`
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and left <= tonumber(ARGV[4]) + ${longestLease} then return math.max(1, left) end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
return 0
`)

/**
 * Starts the lease of a lock anew. KEYS: the lock. ARGV, then: the token, the lease in ms. Returns 1 if it is still
 * held.
 */
export const renew: Script = /*#__PURE__*/ script(`
if redis.call('GET', KEYS[1]) ~= ARGV[3] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[4])
`)

/** Releases a lock, if it is still held. KEYS: the lock. ARGV, then: the token, the key of the entry. */
export const unlock: Script = /*#__PURE__*/ script(`${prelude}
if redis.call('GET', KEYS[1]) ~= ARGV[3] then return 0 end
redis.call('DEL', KEYS[1])
publish({ u = ARGV[4] })
return 1
`)

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
if first and stampIn(KEYS[2], first) <= floor then
  for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 1, 1000 + #ARGV)) do
    if stampIn(KEYS[2], name) > floor then break end
    redis.call('HDEL', KEYS[2], name)
    redis.call('ZREM', KEYS[1], name)
  end
end
if changed and stampIn(KEYS[4], '@') <= floor then
  redis.call('DEL', KEYS[4])
  redis.call('HSET', KEYS[2], '#', '0')
end
`

const marking = (isCounted: boolean) => `
local clock = now
${
  isCounted
    ? `if #ARGV > 4 then marked = raise() end
now = count`
    : "local isLost = false"
}
local function whole(number) return string.format('%.0f', number) end
local function usable(stamp)
  stamp = tonumber(stamp or '')
  return stamp and stamp == stamp and stamp <= latest + ${maxSkew} and stamp or nil
end
local repaired = 0
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
local seen, history, bound, lifespan = string.match(ARGV[3], '^(%S+) ?(%S*) ?(%S*) ?(%S*)$')
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
  version = math.max(math.floor(math.max(clock, now) * 1024), seen + 1)
  floor, lost = -1, version / 1024
  reset('-inf', 'none')
  redis.call('SET', KEYS[3], text(floor) .. ' ' .. whole(version) .. ' ' .. text(lost))
elseif isUnmarked and not (ofVersions and ofStamps) then
  reset('-inf', 'none')
end
local published = {}
-- A server without free memory accepts the rest of a script that has removed something.
if #ARGV > ${isCounted ? 4 : 3} then redis.call('ZREM', KEYS[1], '') end
for i = 4, #ARGV${isCounted ? " - 1" : ""} do
  local name, stamp = ARGV[i], now
  changed = true
  version = version + 1
  if name == '*' then
    reset('-1e300', '0')
    floor = math.max(floor, stamp)
  else
    local before = usable(redis.call('HGET', KEYS[2], name)) or -math.huge
    published[#published + 1] = name
    published[#published + 1] = text(math.max(before, stamp))
    redis.call('HSET', KEYS[2], name, published[#published])
    redis.call('ZADD', KEYS[1], whole(version), name)
  end
end
${isCounted ? dropping : ""}
-- Beyond the bound the oldest marks fold into buckets, by the hash that markNames.ts computes.
local over = redis.call('ZCARD', KEYS[1]) - 1 - bound
if over > 0 and changed then
  local latestFolded = -math.huge
  local oldest = redis.call('ZRANGE', KEYS[1], 1, math.min(over, 1000 + #ARGV), 'WITHSCORES')
  for i = 1, #oldest, 2 do
    local name, low = oldest[i], 0
    for j = 1, #name + 3 do low = (low * 65599 + (string.byte(name, j) or 0)) % 4294967296 end
    local bucket = string.sub(name, 1, 1) .. math.floor(low / 65536)
    local stamp = usable(redis.call('HGET', KEYS[2], name)) or now
    latestFolded = math.max(latestFolded, stamp)
    if stamp > (usable(redis.call('HGET', KEYS[4], bucket)) or -math.huge) then
      redis.call('HSET', KEYS[4], bucket, text(stamp))
    end
    redis.call('HDEL', KEYS[2], name)
    redis.call('ZREM', KEYS[1], name)
  end
  redis.call('HSET', KEYS[4], '#', oldest[#oldest])
  if latestFolded >= (usable(redis.call('HGET', KEYS[4], '@')) or -math.huge) then
    redis.call('HSET', KEYS[4], '@', text(latestFolded))
  end
  redis.call('HSET', KEYS[2], '#', 'folded')
end
if changed then
  redis.call('SET', KEYS[3], text(floor) .. ' ' .. whole(version) .. ' ' .. text(lost))
  publish({ f = text(floor), l = text(lost), m = published })
end
local raised, buckets, upTo = {}, {}, version
local page = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. whole(math.max(0, seen)), '+inf', 'LIMIT', 0, 10000)
for _, name in ipairs(page) do
  raised[#raised + 1] = name
  raised[#raised + 1] = stampOf(KEYS[2], name, redis.call('HGET', KEYS[2], name))
  ${isCounted ? "if tonumber(raised[#raised]) > count then now = raise() end" : ""}
end
if #page == 10000 then upTo = math.min(version, tonumber(redis.call('ZSCORE', KEYS[1], page[#page]))) end
if KEYS[4] and (tonumber(redis.call('HGET', KEYS[4], '#')) or 0) > seen then
  buckets = redis.call('HGETALL', KEYS[4])
  for i = 1, #buckets, 2 do
    if buckets[i] ~= '#' then buckets[i + 1] = stampOf(KEYS[4], buckets[i], buckets[i + 1]) end
  end
end
${
  isCounted
    ? `-- The marks of an earlier release have the server's time as their stamps.
if floor > count then now = raise() end
if isRaised then keep() end`
    : ""
}
return { text(floor), whole(upTo), text(lost), text(now), raised, isLoss and '1' or '', buckets, text(repaired) }
`

/**
 * Raises marks, and returns those that the caller does not know.
 *
 * KEYS: the versions of the marks (a sorted set), their stamps (a hash), their head (floor, version, and the count at
 * which marks were last lost), the buckets (a hash), the lifespans, and the count. ARGV, then: four words, namely the
 * version that the caller has seen, the third word of the head that it saw if it knows of marks or '-', how many marks
 * are kept apart, and the longest lifespan that it knows of; then the names of the marks to raise, and the count that was
 * seen. Returns the head, the count, the marks raised since the version that was seen, '1' if this call found that marks
 * are lost, the buckets if marks that the caller has not seen were folded, and how many stamps were broken or from the
 * future and count as raised now. A mark gets the count as its stamp, whenever it was asked for: a mark that is raised late
 * costs loads at most.
 *
 * At most 10 000 marks are returned. If there are more, the version in the answer is that of the last one, and the
 * caller asks again with it until it gets fewer.
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
