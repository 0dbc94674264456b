/**
 * The scripts that make Redis write conditionally (law 8), keep marks (law 16) and tell other processes. Every decision
 * is by stamp, in the server's own time; offsets in an envelope are those of `Envelope.v1`.
 *
 * Each takes first, in ARGV, the channel on which it tells and the name of who runs it. It tells JSON, without values:
 * `k` keys and their stamps in turn, `m` marks and theirs with the floor `f` and when marks were last lost `l`, `u` the
 * key of a lock that is free. What nobody else can hold a copy of is not told: a load of what was not there.
 */

import type { Buffer } from "node:buffer"
import { sha1 } from "@noble/hashes/legacy.js"
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js"
import { maxMarks } from "../../markNames.js"

export interface Script {
  readonly text: string
  readonly digest: string
}

export type Args = ReadonlyArray<string | Buffer>

const script = (text: string): Script => ({ text, digest: bytesToHex(sha1(utf8ToBytes(text))) })

/** how many marks are kept; the oldest fold into the floor */

/**
 * `now`: the server's time in milliseconds. `stampOf`: the stamp that stands under a key, or -infinity for nothing, for
 * bytes that are no envelope, and for a stamp that cannot be (a minute in the future): what is broken must not be
 * protected. `reckon`: on a cluster time is that of the node that keeps the marks, and comes with the command, in three
 * arguments behind all others: how far that clock is ahead of this one, what it showed, and how late a command may be
 * carried out for that to be the time.
 */
const prelude = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
local tick = 1 / 1024
local function text(stamp) return string.format('%.17g', stamp) end
local function header(key, last)
  local found = redis.pcall('GETRANGE', key, 0, last)
  if type(found) ~= 'string' or #found < 12 or string.sub(found, 1, 3) ~= 'EC\\1' then return nil end
  return found
end
local function stampIn(found)
  if not found then return -math.huge end
  local stamp = struct.unpack('>d', string.sub(found, 5, 12))
  if stamp ~= stamp or stamp > now + 60000 then return -math.huge end
  return stamp
end
local function put(key, bytes, life)
  if life == '' then redis.call('SET', key, bytes) else redis.call('SET', key, bytes, 'PX', life) end
end
-- two of one stamp are owed from before the marks were lost: an invalidation stays, and of two values the one made later
local function yields(found, bytes)
  return #found == 20 and string.byte(found, 4) % 2 == 0
    and struct.unpack('>d', string.sub(found, 13, 20)) <= struct.unpack('>d', string.sub(bytes, 13, 20))
end
local function stamped(bytes, stamp)
  return string.sub(bytes, 1, 4) .. struct.pack('>d', stamp) .. string.sub(bytes, 13)
end
local channel, node = ARGV[1], ARGV[2]
local function tell(news)
  news.n = node
  redis.call('PUBLISH', channel, cjson.encode(news))
end
local function reckon(i)
  local skew, asked, grace = tonumber(ARGV[i]), tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  if not grace then return end
  now = now + skew
  if now - asked <= grace then now = asked end
end
`

/** `count` entries at the front of KEYS, five arguments for each */
const setting = (count: string) => `
local out, told = {}, {}
for i = 1, ${count} do
  local at = 5 * i - 2
  local bytes, life, late, age, announces = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), ARGV[at + 4]
  local found = header(KEYS[i], 19)
  local there = stampIn(found)
  local own = math.min(now, (struct.unpack('>d', string.sub(bytes, 5, 12))))
  local last = late and now - own <= late
  if last then own = math.max(now, there + tick) end
  if not last and age and now - own > age then
    out[i] = 'late'
  elseif last or there < own or (there == own and yields(found, bytes)) then
    put(KEYS[i], stamped(bytes, own), life)
    out[i] = text(own)
    if last or not age or announces == '1' or (found and string.byte(found, 4) % 2 == 0) then
      told[#told + 1] = KEYS[i]
      told[#told + 1] = out[i]
    end
  else
    out[i] = ''
  end
end
if #told > 0 then tell({ k = told }) end
return out
`

/**
 * KEYS: entries. ARGV, then, for each: envelope; life in ms or '' for ever; for what came last, how late it may be to be still
 * that, else ''; for what was loaded, how long after its stamp it may be written, or ''; '1' where it is told whatever
 * stood there. Gives stamps, '' for what was superseded, 'late' for what was older.
 */
export const set: Script = /*#__PURE__*/ script(`${prelude}
reckon(5 * #KEYS + 3)
${setting("#KEYS")}`)

/** The same for one entry, while its lock, the second of KEYS, has the token behind its arguments; otherwise 'fenced'. */
export const setFenced: Script = /*#__PURE__*/ script(`${prelude}
if redis.call('GET', KEYS[2]) ~= ARGV[8] then return { 'fenced' } end
reckon(9)
${setting("1")}`)

/** KEYS: one entry. ARGV, then: envelope, life, the caller's time, the stamp of an entry that counts as nothing or ''. */
export const setIfAbsent: Script = /*#__PURE__*/ script(`${prelude}
reckon(7)
local found = header(KEYS[1], 35)
local there = stampIn(found)
if found and #found == 36 and there ~= -math.huge and string.byte(found, 4) % 2 == 0 then
  local expires = struct.unpack('>d', string.sub(found, 29, 36))
  if expires > tonumber(ARGV[5]) and there ~= tonumber(ARGV[6]) then return '' end
end
local own = math.max(now, there + tick)
put(KEYS[1], stamped(ARGV[3], own), ARGV[4])
tell({ k = { KEYS[1], text(own) } })
return text(own)
`)

/**
 * KEYS: entries. ARGV, then, for each: how long the trace stays, the stamp, and how late it may be to be still what came last,
 * or ''. Gives their stamps. What is removed goes first, so that a server without memory has some for the trace.
 */
export const remove: Script = /*#__PURE__*/ script(`${prelude}
reckon(3 * #KEYS + 3)
local out, told = {}, {}
for i = 1, #KEYS do
  local life, own, late = ARGV[3 * i], math.min(now, tonumber(ARGV[3 * i + 1])), tonumber(ARGV[3 * i + 2])
  local there = stampIn(header(KEYS[i], 11))
  if late and now - own <= late then own = math.max(now, there + tick) end
  if there <= own then
    redis.call('DEL', KEYS[i])
    put(KEYS[i], 'EC\\1\\1' .. struct.pack('>d', own), life)
  end
  out[i] = text(own)
  told[#told + 1] = KEYS[i]
  told[#told + 1] = out[i]
end
tell({ k = told })
return out
`)

/** as `setting`, three arguments for each */
const putting = (count: string) => `
local out, told = {}, {}
for i = 1, ${count} do
  local bytes, life, own = ARGV[3 * i], ARGV[3 * i + 1], text(math.min(now, tonumber(ARGV[3 * i + 2])))
  if life == '0' then
    redis.call('DEL', KEYS[i])
    own = text(now)
    out[i] = own
  else
    put(KEYS[i], bytes, life)
    out[i] = 'put'
  end
  told[2 * i - 1], told[2 * i] = KEYS[i], own
end
tell({ k = told })
return out
`

/**
 * For a form that is not `Envelope.v1` and is not looked into: the last write stands, and all are told of it. KEYS:
 * entries. ARGV, then, for each: envelope; life, or '0' to remove it; its stamp. Gives the stamp of what was removed.
 */
export const put: Script = /*#__PURE__*/ script(`${prelude}
reckon(3 * #KEYS + 3)
${putting("#KEYS")}`)

/** As `setFenced` of `set`. */
export const putFenced: Script = /*#__PURE__*/ script(`${prelude}
if redis.call('GET', KEYS[2]) ~= ARGV[6] then return { 'fenced' } end
reckon(7)
${putting("1")}`)

/** KEYS: one entry. ARGV, then: envelope, life, stamp, and what stands there now; '' is given where that is no longer so. */
export const putInstead: Script = /*#__PURE__*/ script(`${prelude}
reckon(7)
local found = redis.pcall('GET', KEYS[1])
if (type(found) == 'string' and found or '') ~= ARGV[6] then return '' end
put(KEYS[1], ARGV[3], ARGV[4])
tell({ k = { KEYS[1], text(math.min(now, tonumber(ARGV[5]))) } })
return 'put'
`)

/**
 * KEYS: the lock of a key. ARGV, then: a token, the lease in ms. Gives 0, or for how many ms somebody else has it.
 */
export const lock: Script = /*#__PURE__*/ script(`
if redis.call('SET', KEYS[1], ARGV[3], 'NX', 'PX', ARGV[4]) then return 0 end
return math.max(1, redis.call('PTTL', KEYS[1]))
`)

/** KEYS: the lock of a key. ARGV, then: the token, the lease in ms. Gives 1 if it is still held. */
export const renew: Script = /*#__PURE__*/ script(`
if redis.call('GET', KEYS[1]) ~= ARGV[3] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[4])
`)

/** KEYS: the lock of a key. ARGV, then: the token, the key. */
export const unlock: Script = /*#__PURE__*/ script(`${prelude}
if redis.call('GET', KEYS[1]) ~= ARGV[3] then return 0 end
redis.call('DEL', KEYS[1])
tell({ u = ARGV[4] })
return 1
`)

/**
 * KEYS: the marks' versions (a sorted set), their stamps (a hash), and their head (floor, version, and when
 * marks were last lost). ARGV, then: the version the caller has seen, then names to raise, each with its stamp and how
 * late it may be to be still what came last, or ''. Gives the head, the server's time, and what was raised since.
 *
 * A version of -1 is that of a caller who has seen none, and what stood here before there were marks counts for him: then
 * the first floor is below all.
 *
 * A version counts raisings. Where one of the keys is gone, marks were lost: everything older than now is invalid, and
 * versions begin anew above any that can have been given. The member `#` tells that a key is there.
 */
export const marks: Script = /*#__PURE__*/ script(`${prelude}
local function whole(number) return string.format('%.0f', number) end
for i, kind in ipairs({ 'zset', 'hash', 'string' }) do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= kind and found ~= 'none' then redis.call('DEL', KEYS[i]) end
end
local head = redis.call('GET', KEYS[3])
local floor, version, lost
if head then floor, version, lost = string.match(head, '^(%S+) (%S+) (%S+)$') end
floor, version, lost = tonumber(floor), tonumber(version), tonumber(lost)
-- nonsense is no head: nothing compares with what is no number, and nothing would live above infinity
if floor and not (floor <= now + 60000) then floor = nil end
if version and not (version <= (now + 60000) * 1024) then version = nil end
-- who has seen more than there is has seen what a failover, or a restart, has lost
local seen = tonumber(ARGV[3]) or 0
if version and seen > version then floor, version = nil, seen end
local first = seen < 0 and redis.call('EXISTS', unpack(KEYS)) == 0
local changed = false
local function reset()
  redis.call('DEL', KEYS[1], KEYS[2])
  redis.call('ZADD', KEYS[1], '-inf', '#')
  redis.call('HSET', KEYS[2], '#', '0')
end
if not floor or not version or not lost or not redis.call('ZSCORE', KEYS[1], '#') or redis.call('HEXISTS', KEYS[2], '#') == 0 then
  floor = first and -1 or math.max(now, floor or 0)
  lost = floor
  version = math.max(math.floor(now * 1024), (version or 0) + 1)
  changed = true
  reset()
end
local told = {}
for i = 4, #ARGV, 3 do
  local name, stamp, late = ARGV[i], math.min(now, tonumber(ARGV[i + 1])), tonumber(ARGV[i + 2])
  local last = late and now - stamp <= late
  if last then stamp = now end
  changed = true
  version = version + 1
  if name == '*' then
    if last then reset() end
    floor = math.max(floor, stamp)
  else
    local before = tonumber(redis.call('HGET', KEYS[2], name) or '-inf')
    told[#told + 1] = name
    told[#told + 1] = text(math.max(before, stamp))
    redis.call('HSET', KEYS[2], name, told[#told])
    redis.call('ZADD', KEYS[1], whole(version), name)
  end
end
local over = redis.call('ZCARD', KEYS[1]) - 1 - ${maxMarks}
if over > 0 then
  local oldest = redis.call('ZRANGE', KEYS[1], 1, over)
  for i = 1, #oldest do
    floor = math.max(floor, tonumber(redis.call('HGET', KEYS[2], oldest[i])))
    redis.call('HDEL', KEYS[2], oldest[i])
    redis.call('ZREM', KEYS[1], oldest[i])
  end
end
if changed then
  redis.call('SET', KEYS[3], text(floor) .. ' ' .. whole(version) .. ' ' .. text(lost))
  tell({ f = text(floor), l = text(lost), m = told })
end
local raised = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[3], '+inf')) do
  raised[#raised + 1] = name
  raised[#raised + 1] = redis.call('HGET', KEYS[2], name)
end
return { text(floor), whole(version), text(lost), text(now), raised }
`)
