/**
 * The Lua scripts: conditional writes, removals and locks, each atomic in the server. Those of marks are in
 * `markScripts.ts`; what all have in common is in `scriptParts.ts`.
 *
 * Stamps decide every conflict, in the time of the server, so that law 8 (invalidation wins) holds among processes. The
 * offsets in an envelope are those of `Envelope.v1`.
 */
import { countStep, maxSkew, tick } from "../../time.js"
import { counting, longestAhead, prelude, reading, type Script, script } from "./scriptParts.js"

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

/** Whether an entry must not give way to a failure: it had not expired when that was made, and was not found dead. */
const keeping = `
local function isKept(found, there, dead, bytes)
  if there == -math.huge or there == dead or string.byte(found, 4) % 2 == 1 or #found < 36 then return false end
  return struct.unpack('>d', string.sub(found, 29, 36)) > struct.unpack('>d', string.sub(bytes, 13, 20))
end
`

/**
 * Writes `entries` entries, the first of KEYS, with six arguments for each. Without a count, as on a cluster, whose
 * count is on one node, every authoritative write has a ticket.
 */
const setting = (entries: string, isCounted: boolean) => `${placing}${keeping}
local out, changed = {}, {}
${isCounted ? "local seenWritten, seenMarked = written, marked" : ""}
for i = 1, ${entries} do
  local at = 6 * i - 3
  local bytes, lifetime, kind, least, announces = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 4]), ARGV[at + 5]
  local age, since = string.match(ARGV[at + 3], '^(%S*) ?(%S*)$')
  age, since = tonumber(age), tonumber(since)
  local dead = string.match(kind, '^load (.*)$')
  if dead then kind = 'load' end
  local found = header(KEYS[i], dead and 35 or 19)
  local there = stampIn(found)
  local isAbove, isRetry = kind == 'above', kind == 'retry'
  local isLoad = kind == 'load' or kind == 'follow'
  local stamp = tonumber(kind) or struct.unpack('>d', string.sub(bytes, 5, 12))
  if isAbove and there >= stamp then stamp = there + ${tick} end
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
  elseif isAbove or kind == 'follow' then
    -- A copy of this tier must not come after what was set.
    if announces == '2' then written = raise() end
    follow(stamp)
  elseif since then
    if stamp > latest + ${maxSkew} or isLate(since, age) then answer = 'late' else follow(stamp) end
  elseif isRetry and there <= stamp then
    if stamp > latest + ${countStep} then
      answer = 'late'
    elseif seenMarked <= stamp and not (seenWritten > stamp and math.max(count, now) - stamp > least) then
      stamp = raise()
      written = stamp
    elseif seenWritten ~= seenMarked or math.max(count, now) - seenMarked > least or there ~= -math.huge then
      answer = 'late'
    end
  elseif age and (stamp > latest + ${countStep} or isLate(stamp, age)) then
    answer = 'late'
  elseif not isLoad and not isRetry then
    if isLate(stamp, least) then answer = 'late' else raise(); written = count end
  end`
      : `if isRetry and not age and there ~= -math.huge then answer = 'late' end
  if isRetry and age and there <= stamp then stamp = age end`
  }
  if not answer and dead and isKept(found, there, tonumber(dead), bytes) then answer = '' end
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
${isCounted ? "if isRaised or isFollowed or isNew then keep() end" : ""}
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
 * - 'load' for a loaded value or a copy, which keeps its stamp, for a failure with a blank and the stamp of the entry that
 *   its load found dead; 'first' for an authoritative write, or its ticket; 'retry'
 *   for one that is sent again because it was not confirmed, with the stamp of when it was asked for; 'follow' for a value
 *   with the stamp that another tier gave, and 'above' for one that must be above what is stored
 * - for a loaded value, the number of ms after its stamp within which it may be written, or ''; for a copy, after a blank,
 *   the count that had been seen when it was asked for, from which they are counted; for 'retry', the ticket, which only
 *   `setOnNode` reads
 * - the number of ms for which its stamp must stay at least
 * - '1' to publish it also if nothing was stored; '2' for a copy
 *
 * Then the count that was seen. Returns for each its stamp; '' if something newer is stored; 'late' if it came too late;
 * 'full' if the server has no memory for it: an authoritative write then has deleted what it was to replace; 'again' and
 * a ticket, if something was written since the count that was seen. An authoritative write gets a new
 * stamp at its first attempt only if nothing was: it may run after its process has given it up, and something that was
 * asked for later must win. With a ticket its place among the writes is settled, whenever it runs. One that is sent again
 * gets a new stamp on the same condition, and is 'late' otherwise: a ticket does not tell whether it was asked for
 * before what was written meanwhile. It keeps its stamp where nothing is stored, and the count was lost and nothing
 * written since.
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
local given = string.match(ARGV[7], '^@(%S+)$')
if given then given = math.max(tonumber(given), there + ${tick}) end
${
  isCounted
    ? `if given then
  stamp = given
  raise()
  follow(stamp)
elseif stamp then
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
    : "stamp = given or stamp"
}
if there > stamp then return '' end
put(KEYS[1], stamped(ARGV[3], stamp), ARGV[4], least${isCounted ? " + ahead" : ""})
${isCounted ? "keep()" : ""}
publish({ k = { KEYS[1], text(stamp) } })
return text(stamp)
`

/**
 * Writes an entry if none is stored that is alive. KEYS: the entry, then the count. ARGV, then: the envelope, the
 * lifetime, the time of the caller, the stamp of an entry that counts as dead, or '', the ticket, or 'first', or `@` and
 * the stamp that another tier gave, the number of ms for which its stamp must stay at least, and the count that was seen. Returns the stamp, '' if one is alive, or
 * as `set` does.
 */
export const setIfAbsent: Script = /*#__PURE__*/ script(`${prelude}${counting}
${settingIfAbsent(true)}`)

/** Is to `setIfAbsent` what `setOnNode` is to `set`. */
export const setIfAbsentOnNode: Script = /*#__PURE__*/ script(`${prelude}${elsewhere}
${settingIfAbsent(false)}`)

/**
 * `staleOf` returns the bytes that take the place of an entry that is expired at `at`, with this stamp, and their
 * lifetime. It returns nothing for an entry that has expired by then. The times are those of `Entry.staleFrom` or, if
 * the entry may not be served as stale, of `Entry.expired`. A checksum does not cover them, except the stale end of the
 * extension block: where that moves, the entry has no checksum any more.
 */
const staling = `${reading}
-- the bytes with an earlier stale end in their extension block, without the checksum, which covers it
local function moved(bytes, by)
  if by == 0 or math.floor(string.byte(bytes, 4) / 2) % 2 == 0 then return bytes end
  local at = 39 + struct.unpack('>H', string.sub(bytes, 37, 38))
  local tags = struct.unpack('>H', string.sub(bytes, at, at + 1))
  at = at + 2
  for i = 1, tags do at = at + 2 + struct.unpack('>H', string.sub(bytes, at, at + 1)) end
  local length = struct.unpack('>H', string.sub(bytes, at, at + 1))
  local from, last, block = at + 2, at + 1 + length, ''
  if string.byte(bytes, from) ~= 1 then return bytes end
  while from <= last do
    local number, size = string.byte(bytes, from, from + 1)
    local content = string.sub(bytes, from + 2, from + 1 + size)
    if number == 1 then content = struct.pack('>d', struct.unpack('>d', content) - by) end
    if number ~= 5 then block = block .. string.char(number, size) .. content end
    from = from + 2 + size
  end
  return string.sub(bytes, 1, at - 1) .. struct.pack('>H', #block) .. block .. string.sub(bytes, last + 1)
end
local function staleOf(key, found, at, stamp)
  if not found or #found < 36 or string.byte(found, 4) % 2 == 1 then return nil end
  local created, fresh, expires = struct.unpack('>ddd', string.sub(found, 13, 36))
  if not (created <= fresh and fresh <= expires and created < math.huge and expires > at) then return nil end
  -- an entry from the future counts as created now
  created = math.min(created, at)
  local from = math.min(fresh, at)
  local by = fresh - from
  expires = expires - by
  if not (expires > at) then from, expires, by = created, created, 0 end
  local ok, bytes = pcall(moved, redis.call('GET', key), by)
  if not ok then return nil end
  local isWhole, place, readAt, idle = pcall(lastRead, bytes)
  local ends = expires
  if isWhole and place then
    if readAt + idle <= at then return nil end
    ends = math.min(expires, readAt + idle)
  end
  local times = struct.pack('>ddd', created, from, expires)
  bytes = string.sub(bytes, 1, 4) .. struct.pack('>d', stamp) .. times .. string.sub(bytes, 37)
  return bytes, ends - at > ${Number.MAX_SAFE_INTEGER} and '' or string.format('%.0f', math.max(1, math.ceil(ends - at)))
end
`

const removing = (entries: string, isCounted: boolean) => `${staling}
local out, changed, staled = {}, {}, {}
${isCounted ? "local stamp = raise()" : ""}
for i = 1, ${entries} do
  local lifetime, staleAt, staleOne = string.match(ARGV[2 * i + 1], '^(%S+) ?(%S*) ?(%S*)$')
  local kind = ARGV[2 * i + 2]
  staleAt = tonumber(staleAt)
  local found = header(KEYS[i], staleAt and 35 or 11)
  local there = stampIn(found)
  local given = tonumber(string.match(kind, '^@(%S+)$') or '')
  local isStale = staleAt and there ~= -math.huge and there == tonumber(staleOne)
  if given and ((isStale and there >= given) or (not staleAt and there > given)) then given = there + ${tick} end
  ${isCounted ? `if given then follow(given) elseif there > count then count = there + ${countStep} end` : ""}
  ${isCounted ? "stamp = given or count" : "local stamp = given or tonumber(kind)"}
  if there <= stamp then
    local least = ${isCounted ? "tonumber(lifetime) + ahead" : "tonumber(lifetime)"}
    local bytes, left
    if isStale then bytes, left = staleOf(KEYS[i], found, staleAt, stamp) end
    redis.call('DEL', KEYS[i])
    if bytes then
      put(KEYS[i], bytes, left, least)
      staled[#staled + 1] = KEYS[i]
    else put(KEYS[i], 'EC\\1\\1' .. struct.pack('>d', stamp), string.format('%.0f', least)) end
    redis.call('TOUCH', KEYS[i])
  else
    stays(KEYS[i], tonumber(lifetime))
  end
  out[i] = text(stamp)
  changed[#changed + 1] = KEYS[i]
  changed[#changed + 1] = out[i]
end
${isCounted ? "written = count; keep()" : ""}
publish({ k = changed, e = #staled > 0 and staled or nil })
return out
`

/**
 * Replaces entries by tombstones, whatever is stored: a removal that runs late costs a load at most. KEYS: entries, then
 * the count. ARGV, then, for each: the lifetime of the tombstone and, after blanks, the time at which an entry is to
 * become stale in place of being removed, and the stamp of that entry; and the ticket, which only `removeOnNode` reads, or `@`
 * and the stamp that another tier gave; then the count that was seen. Returns their stamps. The entry is deleted first, so
 * that a server without free memory has some for the tombstone.
 *
 * Redis may use an object of an earlier script for a short value, with the time at which that was used last. TOUCH gives
 * it the present time: a policy that evicts what was not used for longest would take a new tombstone first.
 */
export const remove: Script = /*#__PURE__*/ script(`${prelude}${counting}
${removing("#KEYS - 1", true)}`)

/** Is to `remove` what `setOnNode` is to `set`. */
export const removeOnNode: Script = /*#__PURE__*/ script(`${prelude}${elsewhere}
${removing("#KEYS", false)}`)

/** How many bytes of an entry are read at first: they contain its extension block, unless its tags are long. */
const beginning = 1_023

const renewing = (entries: string) => `${reading}
local out = {}
for i = 1, ${entries} do
  local stamp, at, lifetime = tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1]), tonumber(ARGV[3 * i + 2])
  out[i] = ''
  if stampIn(header(KEYS[i], 11)) == stamp then
    local isWhole, place, readAt, idle = pcall(lastRead, redis.call('GETRANGE', KEYS[i], 0, ${beginning}))
    if not isWhole then isWhole, place, readAt, idle = pcall(lastRead, redis.call('GET', KEYS[i])) end
    if isWhole and place and at < readAt + idle then
      local failed = at > readAt and renewed(KEYS[i], place, at, lifetime)
      if failed and not string.find(failed.err, 'OOM', 1, true) then return failed end
      out[i] = failed and 'full' or 'renewed'
    end
  end
end
return out
`

/**
 * Renews entries with an idle time that were read. KEYS: entries, then the count. ARGV, then, for each: its stamp, when it
 * was read, and the number of ms for which it is to stay from now on; then the count that was seen. Returns 'renewed' for
 * each that counts as read then or later; '' for one that has another stamp, or is not there; 'full' if the server has
 * refused the write, which happens where it has no memory. It is not published: no copy is outdated by it.
 */
export const renewReads: Script = /*#__PURE__*/ script(`${prelude}${renewing("#KEYS - 1")}`)

/** Is to `renewReads` what `setOnNode` is to `set`. */
export const renewReadsOnNode: Script = /*#__PURE__*/ script(`${prelude}${renewing("#KEYS")}`)

/**
 * Reads keys as MGET does, and renews entries with an idle time of which a quarter has passed since the last renewal.
 * KEYS: any. ARGV, then, for each key: the time of the reader, or '' for a key that is only read. An entry is not renewed
 * if it has expired by then, nor if that would not let it live longer, nor if the server refuses writes.
 */
export const readAndRenew: Script = /*#__PURE__*/ script(`${reading}
local out = {}
for i = 1, #KEYS do
  local bytes, at = redis.pcall('GET', KEYS[i]), tonumber(ARGV[i + 2])
  -- MGET finds nothing where another type is
  if type(bytes) == 'table' and not string.find(bytes.err, 'WRONGTYPE', 1, true) then return bytes end
  if type(bytes) ~= 'string' then bytes = false end
  if bytes and at then
    local isWhole, place, readAt, idle = pcall(lastRead, bytes)
    if isWhole and place and at - readAt >= idle / 4 and at < readAt + idle then
      local expires = struct.unpack('>d', string.sub(bytes, 29, 36))
      if at < expires and readAt + idle < expires and not renewed(KEYS[i], place, at, math.min(idle, expires - at)) then
        bytes = string.sub(bytes, 1, place - 1) .. struct.pack('>d', at) .. string.sub(bytes, place + 8)
      end
    end
  end
  out[i] = bytes
end
return out
`)

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
  redis.call('TOUCH', key)
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

/**
 * Decides on values that are sent again. KEYS: the count. ARGV, then: for each its stamp, of when it was asked for; the
 * number of ms for which its stamp must stay at least; and the ticket that it had, or ''. Then the count that was seen.
 * Returns a new ticket, and for each how it is to be written, by the rules of `set`: the ticket that it had, the new one,
 * '' if it keeps its stamp, or 'late'. Other values that are sent again may get a ticket after the new one: it says
 * nothing about when they were asked for.
 */
export const ticketOfRetries: Script = /*#__PURE__*/ script(`${prelude}${counting}
local seenWritten, seenMarked, before = written, marked, math.max(count, now)
local ticket = raise()
local out = { text(ticket) }
for i = 3, #ARGV - 1, 3 do
  local stamp, least, had = tonumber(ARGV[i]), tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local answer = 'late'
  if had then
    if had <= latest + ${countStep} and (seenMarked <= had or before - had <= least) then answer = text(had) end
  elseif stamp <= latest + ${countStep} then
    if seenMarked <= stamp and not (seenWritten > stamp and before - stamp > least) then
      answer, written = text(ticket), ticket
    elseif seenWritten == seenMarked and before - seenMarked <= least then
      answer = ''
    end
  end
  out[#out + 1] = answer
end
keep()
return out
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
redis.call('TOUCH', KEYS[1])
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
