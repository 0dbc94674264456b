/**
 * The parts that the Lua scripts share: the helpers in front of each, and the count.
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

export const script = (text: string): Script => ({ text, digest: bytesToHex(sha1(utf8ToBytes(text))) })

/**
 * The helpers of the scripts.
 *
 * - `now` is the time of the server in milliseconds.
 * - `stampIn` is the stamp of an envelope. It is `-infinity` for nothing, for bytes that are not an envelope, and for a
 *   stamp more than a minute above `latest`: broken data must not be protected from being overwritten.
 * - `put` keeps the bytes for `least` milliseconds at least.
 */
export const prelude = `
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

/**
 * The time of the last read of an entry with an idle time, in its extension block (`Envelope.v1`).
 *
 * - `lastRead` returns where it is in the bytes of an entry, the time, and the idle time: nothing if the entry has none.
 *   It throws where the bytes end before the block does.
 * - `renewed` writes a time of reading over it, and keeps the entry for `lifetime` milliseconds at least. It returns the
 *   answer of the server to a write that failed.
 */
export const reading = `
local function lastRead(bytes)
  if #bytes < 48 or string.sub(bytes, 1, 3) ~= 'EC\\1' or string.byte(bytes, 4) ~= 2 then return nil end
  local at = 39 + struct.unpack('>H', string.sub(bytes, 37, 38))
  local tags = struct.unpack('>H', string.sub(bytes, at, at + 1))
  at = at + 2
  for i = 1, tags do at = at + 2 + struct.unpack('>H', string.sub(bytes, at, at + 1)) end
  local from, last, idle = at + 2, at + 1 + struct.unpack('>H', string.sub(bytes, at, at + 1)), nil
  while from < last do
    local number, size = string.byte(bytes, from, from + 1)
    if number == 3 then idle = struct.unpack('>d', string.sub(bytes, from + 2, from + 9)) end
    if number == 6 and idle then return from + 2, struct.unpack('>d', string.sub(bytes, from + 2, from + 9)), idle end
    from = from + 2 + size
  end
end
local function renewed(key, place, at, lifetime)
  local written = redis.pcall('SETRANGE', key, place - 1, struct.pack('>d', at))
  if type(written) ~= 'number' then return written end
  local left = redis.call('PTTL', key)
  if left >= 0 and left < lifetime then redis.pcall('PEXPIRE', key, string.format('%.0f', math.ceil(lifetime))) end
end
`

/** For how many milliseconds a tombstone outlasts its lifetime at most. A count of garbage may be far ahead. */
export const longestAhead = 86_400_000

/**
 * Reads the count of the store: the last of KEYS, with the highest count that the caller has seen as the last of ARGV.
 *
 * - `count` is the count. It never goes back, and a new one is not below the time of the server.
 * - `written` and `marked` are the counts at the latest set or removal, and at the latest mark or ticket.
 * - `raise` raises the count, once in a script. `keep` stores it.
 * - `isLate(stamp, age)` tells that a tombstone above `stamp` may have expired: something was written since, and the
 *   count has moved on by more than `age` milliseconds.
 *
 * - `ahead` is by how many milliseconds the count is ahead of a clock that was set back. What `isLate` cannot tell yet must
 *   stay for so much longer, because it expires by the clock.
 *
 * - `follow` raises the count to a stamp that another tier has given, so that what is counted later is above it.
 *
 * A count below what the caller has seen was lost, and so was what it counted. A new count begins with all three numbers
 * the same, and `written` and `marked` are the same only until something is counted.
 */
export const counting = `
local counter, seen = KEYS[#KEYS], tonumber(ARGV[#ARGV])
local found = redis.pcall('GET', counter)
local count, written, marked
if type(found) == 'string' then count, written, marked = string.match(found, '^(%S+) (%S+) (%S+)$') end
count, written, marked = tonumber(count), tonumber(written), tonumber(marked)
if not (count and written and marked and count >= 0 and count < ${maxCount} and written <= count and marked <= count) then
  count = nil
end
local isRaised, isFollowed = false, false
-- PERSIST changes nothing. A server without free memory rejects SET, unless the script has run a command that needs none.
local function keep()
  if isRaised and written == marked and written == count then
    count = count + ${countStep}
    marked = count
  end
  redis.call('PERSIST', counter)
  redis.call('SET', counter, text(count) .. ' ' .. text(written) .. ' ' .. text(marked))
end
local isLost = count and count < seen
local isNew = not count or isLost
if isNew then
  count = math.max(now, seen, count or 0) + ${countStep}
  written, marked = count, count
end
latest = math.max(latest, count)
local ahead = math.min(math.max(0, math.ceil(count + ${countStep} - now)), ${longestAhead})
local function raise()
  if not isRaised then count = math.max(count + ${countStep}, now) end
  isRaised = true
  return count
end
local function follow(stamp)
  if not (stamp > count and stamp < ${maxCount}) then return end
  count, latest = stamp, math.max(latest, stamp)
  isFollowed = true
end
local function isLate(stamp, age)
  return written > stamp and math.max(count, now) - stamp > age
end
`
