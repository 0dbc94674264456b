/**
 * The processes of a store, in a small form: which commands they send, what they do with the answers, and what they keep
 * in memory. Each does one thing at a time. A command that its process has given up may still run, at any time later.
 */
import type { Step } from "./explorer.js"
import * as Server from "./server.js"

/** A command on its way to the server. */
export interface Command {
  readonly kind: "load" | "mark" | "raise" | "read" | "remove" | "retry" | "set"
  readonly process: number
  /** The highest count that its process had seen when it was sent. */
  readonly seen: number
  readonly write?: Server.Write
  readonly ticket?: number
  /** The place of a set among the sets and invalidations, once it has a ticket. */
  readonly order?: number
  /** How many sets and invalidations had been carried out when its process gave it up. */
  readonly givenUp?: number
}

interface Reply {
  readonly written?: Server.Written
  readonly found?: Server.Answer
  /** The count, where the answer has it. */
  readonly count?: number
  /** The place of what was carried out among the sets and invalidations. */
  readonly order?: number
}

/** A set or an invalidation that the server has not confirmed. */
interface Undelivered {
  readonly kind: "mark" | "remove" | "set"
  readonly stamp: number
  readonly write: Server.Write
  /** The place at which it was asked for. */
  readonly asked: number
  /** The ticket of a set, if it had one. */
  readonly ticket?: number | undefined
}

interface Operation {
  readonly name: "invalidate" | "read" | "refresh" | "set" | "tag"
  readonly command?: Command | undefined
  readonly reply?: Reply | undefined
  /** The load of a read or a refresh, while its lookup runs. */
  readonly load?: { readonly stamp: number; readonly since: number } | undefined
  /** What a read must know of: the highest place that was confirmed when it began. */
  readonly need: number
  /** The stamp of the latest change of which a message came while it was under way. */
  readonly changed: number
  /** Whether messages were missed while it was under way, so that no copy may be kept. */
  readonly isDeaf: boolean
  /** The delivery of an undelivered write, or of a removal in its place. */
  readonly delivers?: Undelivered | undefined
  readonly asked: number
}

type Message = readonly [kind: "entry" | "mark", stamp: number, order: number]

interface Process {
  seen: number
  /** The stamps of this process, as the class `Stamps` gives them. */
  last: number
  isMark: boolean
  /** The mark of the tag, as this process knows it, and the one that it raised itself. */
  mark: number
  raisedHere: number
  floor: number
  left: number
  operation: Operation | null
  undelivered: Undelivered | null
  /** The value that it knows the server to have taken from it. */
  own: { stamp: number; id: number } | null
  copy: { stamp: number; since: number; id: number } | null
  messages: Array<Message>
  /** The highest place of which a message came. */
  heard: number
  isArmed: boolean
}

export interface State {
  server: Server.Server
  /** How many sets and invalidations were asked for or carried out, and the latest one that was confirmed. */
  executed: number
  confirmed: number
  ids: number
  processes: Array<Process>
  /** The commands that were given up and may still run. */
  network: Array<Command>
  left: { gives: number; time: number; jumps: number; losses: number; deaf: number }
}

export interface Options {
  /** For each process: what it may do, as letters (read, invalidate, set, tag, refresh), and how often. */
  readonly processes: ReadonlyArray<readonly [may: string, times: number]>
  /** How many commands are given up, or their answers lost. */
  readonly gives?: number
  /** How often half of the time passes for which tombstones stay. */
  readonly time?: number
  /** How often the server's clock jumps, and where to. */
  readonly jumps?: number
  readonly jumpsTo?: "both" | "back" | "forward"
  /** How often the count, or everything, is lost. */
  readonly losses?: number
  readonly memory?: boolean
  /** How often a process misses messages. */
  readonly deaf?: number
  /** How long values may stay. Default: for ever. */
  readonly lifetimes?: ReadonlyArray<number>
  /** Whether nothing is stored at the beginning. Default: an entry is. */
  readonly isEmpty?: boolean
  readonly without?: Server.Rule
}

export const initial = (options: Options): State => {
  const { deaf = 0, gives = 0, jumps = 0, losses = 0, processes, time = 0 } = options
  const server = Server.make(options.without ?? null, options.isEmpty === true)
  return {
    server,
    executed: 0,
    confirmed: 0,
    ids: 0,
    processes: processes.map(([, left]) => ({
      seen: server.count!.count,
      last: 0,
      isMark: false,
      mark: 0,
      raisedHere: 0,
      floor: 0,
      left,
      operation: null,
      undelivered: null,
      own: null,
      copy: null,
      messages: [],
      heard: 0,
      isArmed: true
    })),
    network: [],
    left: { gives, time, jumps, losses, deaf }
  }
}

const copyProcess = (of: Process): Process => ({
  seen: of.seen,
  last: of.last,
  isMark: of.isMark,
  mark: of.mark,
  raisedHere: of.raisedHere,
  floor: of.floor,
  left: of.left,
  operation: of.operation,
  undelivered: of.undelivered,
  own: of.own && { stamp: of.own.stamp, id: of.own.id },
  copy: of.copy && { stamp: of.copy.stamp, since: of.copy.since, id: of.copy.id },
  messages: of.messages.slice(),
  heard: of.heard,
  isArmed: of.isArmed
})

/**
 * Copies what steps change, and shares everything that is `readonly`. It names each property, because spreading them takes
 * most of the time of an exploration.
 */
export const copy = ({ confirmed, executed, ids, left, network, processes, server }: State): State => ({
  server: Server.copy(server),
  executed,
  confirmed,
  ids,
  processes: processes.map(copyProcess),
  network: network.slice(),
  left: { gives: left.gives, time: left.time, jumps: left.jumps, losses: left.losses, deaf: left.deaf }
})

// ------------------------------------------------------------------------------------------------------------ commands

const publish = (state: State, from: number, message: Message): void => {
  state.processes.forEach((process, i) => {
    if (i !== from && process.isArmed) process.messages.push(message)
  })
}

/** Runs a command in the server. */
export const run = (state: State, command: Command, hasMemory: boolean): Reply => {
  const { server } = state
  const { givenUp, kind, process, seen } = command
  const tell = (kind: Message[0], stamp: number, order: number): void => {
    if (hasMemory) publish(state, process, [kind, stamp, order])
  }
  switch (kind) {
    case "read": {
      const found = Server.read(server)
      return { found, ...(found.count !== null && { count: found.count }) }
    }
    case "raise":
      return { count: Server.raise(server, seen) }
    case "mark": {
      Server.marks(server, seen, true)
      const order = ++state.executed
      tell("mark", server.mark, order)
      return { count: server.count!.count, order, found: Server.read(server) }
    }
    case "remove": {
      const count = Server.remove(server, seen)
      const order = ++state.executed
      tell("entry", count, order)
      return { count, order }
    }
    case "set": {
      const order = givenUp === undefined ? (command.order ?? state.executed + 1) : 0
      // until it ends, a set with a ticket is not earlier than what was carried out meanwhile
      const write = { ...command.write!, since: givenUp ?? Math.max(order, state.executed) }
      const written = Server.set(server, write, command.ticket)
      state.executed = Math.max(state.executed, order)
      if (written._tag === "Written") tell("entry", written.stamp, order)
      return { written, order, ...(written._tag === "Written" && { count: written.stamp }) }
    }
    default: {
      const written =
        command.ticket === undefined
          ? (kind === "retry" ? Server.retry : Server.load)(server, command.write!)
          : Server.set(server, command.write!, command.ticket)
      if (written._tag === "Written" && (kind === "retry" || written.announced)) tell("entry", written.stamp, 0)
      return { written, ...(kind === "retry" && written._tag === "Written" && { count: written.stamp }) }
    }
  }
}

/** A new stamp above the marks of a process, below the next count. */
const above = ({ last, seen }: Process): number =>
  Math.max(seen + Server.tick, Math.min(last + Server.tick, seen + Server.step - Server.tick))

const begin = (process: Process): number => {
  process.last = process.isMark ? above(process) : Math.max(process.last, process.seen + Server.tick)
  process.isMark = false
  return process.last
}

const observe = (process: Process, count: number | undefined): void => {
  if (count !== undefined) process.seen = Math.max(process.seen, count)
}

const dropUpTo = (process: Process, stamp: number): void => {
  if (process.copy !== null && process.copy.stamp <= stamp) process.copy = null
}

// ---------------------------------------------------------------------------------------------------------- beginnings

const none = { need: 0, changed: Number.NEGATIVE_INFINITY, isDeaf: false, asked: 0 }

const startRead = (state: State, i: number): void => {
  const { seen } = state.processes[i]!
  const command: Command = { kind: "read", process: i, seen }
  state.processes[i]!.operation = { ...none, name: "read", command, need: state.confirmed }
}

/** A set, an invalidation, or a mark. */
const startWrite = (state: State, i: number, name: "invalidate" | "set" | "tag", lifetime: number): void => {
  const process = state.processes[i]!
  const asked = ++state.executed
  let stamp: number
  if (name === "tag") {
    stamp = above(process)
    process.last = stamp
    process.isMark = true
    process.mark = Math.max(process.mark, stamp)
    process.raisedHere = stamp
  } else stamp = begin(process)
  const { seen } = process
  const id = ++state.ids
  const write = { stamp, since: asked, isSet: name === "set", id, lifetime, seen }
  if (name === "set") process.copy = { stamp, since: asked, id }
  else if (name === "invalidate") process.copy = null
  const kind = name === "invalidate" ? "remove" : name === "tag" ? "mark" : "set"
  process.operation = { ...none, name, asked, command: { kind, process: i, seen, write } }
}

/** Whether the answer to an undelivered set came after it was given up. */
const wasCarriedOut = ({ own, raisedHere }: Process, { kind, stamp, write }: Undelivered): boolean =>
  kind === "set" && raisedHere < stamp && own?.id === write.id

/** Sends an undelivered write again, or a removal in its place. */
const startDelivery = (process: Process, i: number, undelivered: Undelivered, asRemoval: boolean): void => {
  const { own, raisedHere, seen } = process
  const { asked, kind, stamp, ticket, write } = undelivered
  const isRemoval = asRemoval || kind === "remove" || (kind === "set" && raisedHere >= stamp)
  const restamped = Math.max(stamp, (own?.stamp ?? 0) + Server.tick)
  const command: Command = {
    kind: kind === "mark" ? "mark" : isRemoval ? "remove" : "retry",
    process: i,
    seen,
    write: { ...write, stamp: restamped, seen },
    ...(!isRemoval && ticket !== undefined && { ticket })
  }
  process.operation = { ...none, name: "set", asked, command, delivers: undelivered }
}

// ------------------------------------------------------------------------------------------------------------- answers

const startLoad = (state: State, process: Process, operation: Operation): void => {
  const load = { stamp: begin(process), since: state.executed }
  process.operation = { ...operation, command: undefined, reply: undefined, load }
}

const admits = ({ floor, mark }: Process, stamp: number): boolean => stamp > mark && stamp > floor

const onRead = (state: State, process: Process, operation: Operation, hasMemory: boolean): string | undefined => {
  const { changed, command, isDeaf, need, reply } = operation
  const { count, entry } = reply!.found!
  observe(process, count ?? undefined)
  let { floor, mark } = reply!.found!
  if (count === null || count < command!.seen) {
    Server.marks(state.server, process.seen, false)
    ;({ floor, mark } = state.server)
    observe(process, state.server.count!.count)
  }
  process.mark = Math.max(process.mark, mark)
  process.floor = Math.max(process.floor, floor)
  if (changed > (entry?.stamp ?? Number.NEGATIVE_INFINITY)) {
    const again: Command = { ...command!, seen: process.seen }
    process.operation = { ...operation, command: again, reply: undefined, changed: Number.NEGATIVE_INFINITY }
    return undefined
  }
  if (entry === null || entry.isTombstone || !admits(process, entry.stamp)) {
    startLoad(state, process, operation)
    return undefined
  }
  const { id, since, stamp } = entry
  if (hasMemory && process.isArmed && !isDeaf) process.copy = { stamp, since, id }
  process.operation = null
  return since < need ? "a read returns what was outdated before it began" : undefined
}

const endLoad = (state: State, i: number, lifetime: number, hasMemory: boolean): void => {
  const process = state.processes[i]!
  const { operation, seen } = process
  const { changed, isDeaf, load } = operation!
  const { since, stamp } = load!
  if (changed > stamp || !admits(process, stamp)) {
    process.operation = null
    return
  }
  const id = ++state.ids
  if (hasMemory && process.isArmed && !isDeaf) process.copy = { stamp, since, id }
  const command: Command = { kind: "load", process: i, seen, write: { stamp, since, isSet: false, id, lifetime, seen } }
  process.operation = { ...operation!, load: undefined, command }
}

/** A set or an invalidation of this process was confirmed. */
const confirm = (state: State, process: Process, order: number): void => {
  state.confirmed = Math.max(state.confirmed, order)
  process.heard = Math.max(process.heard, order)
}

const onSet = (state: State, process: Process, operation: Operation): void => {
  const { asked, command, reply } = operation
  const { order, written } = reply!
  const { process: i, write } = command!
  const stamp = write!.stamp
  if (written!._tag === "Again") {
    observe(process, written!.ticket)
    const again: Command = { ...command!, seen: process.seen, ticket: written!.ticket, order: order! }
    process.operation = { ...operation, command: again, reply: undefined }
    return
  }
  process.operation = null
  if (written!._tag === "Late") {
    dropUpTo(process, stamp)
    return startDelivery(process, i, { kind: "set", stamp, write: write!, asked }, true)
  }
  if (written!._tag === "Written") {
    process.own = { stamp: written!.stamp, id: write!.id }
    if (process.copy?.id === write!.id) process.copy.since = order!
  } else dropUpTo(process, stamp)
  if (process.undelivered?.kind !== "mark") process.undelivered = null
  confirm(state, process, order!)
}

const onDelivered = (state: State, process: Process, operation: Operation): void => {
  const { asked, command, delivers, reply } = operation
  process.operation = null
  const isOwn = process.own !== null && process.own.id === command!.write!.id
  if (command!.kind === "retry" && reply!.written!._tag !== "Written") {
    dropUpTo(process, command!.write!.stamp)
    if (!isOwn) return startDelivery(process, command!.process, delivers!, true)
  }
  if (process.undelivered?.asked === asked) process.undelivered = null
  // a set that was delivered is later than what was carried out when it was asked for
  const { order, written } = reply!
  const isOrdered = written?._tag !== "Written" || written.isUnordered !== true
  if (order !== undefined) confirm(state, process, order)
  else if (isOrdered && command!.write!.since !== Server.excused) confirm(state, process, asked)
}

/** The process gets an answer. */
const onReply = (state: State, i: number, hasMemory: boolean): string | undefined => {
  const process = state.processes[i]!
  const operation = process.operation!
  const { command, delivers, reply } = operation
  const { kind, write } = command!
  const answer = reply!.found
  if (kind === "read") return onRead(state, process, operation, hasMemory)
  observe(process, reply!.count)
  if (kind === "mark") {
    process.mark = Math.max(process.mark, answer!.mark)
    process.floor = Math.max(process.floor, answer!.floor)
  }
  if (kind === "raise") startLoad(state, process, operation)
  else if (delivers !== undefined) onDelivered(state, process, operation)
  else if (kind === "set") onSet(state, process, operation)
  else {
    process.operation = null
    if (kind === "load") {
      if (reply!.written!._tag !== "Written") dropUpTo(process, write!.stamp)
    } else {
      if (kind === "remove" && process.undelivered?.kind !== "mark") process.undelivered = null
      confirm(state, process, reply!.order!)
    }
  }
  return undefined
}

/** The process gives a command up that has not run yet, or whose answer does not come in time. */
const giveUp = (state: State, i: number, comesLate: boolean): void => {
  const process = state.processes[i]!
  const { asked, command, delivers, reply } = process.operation!
  const { kind, write } = command!
  const givenUp = Math.max(state.executed, command!.givenUp ?? 0)
  process.operation = null
  if (reply === undefined) state.network.push({ ...command!, givenUp })
  else if (comesLate && kind === "set" && reply.written!._tag === "Written") {
    process.own = { stamp: reply.written!.stamp, id: write!.id }
  }
  if (kind === "load") dropUpTo(process, write!.stamp)
  else if (delivers === undefined && (kind === "mark" || kind === "remove" || kind === "set")) {
    const { ticket } = command!
    process.undelivered = { kind, stamp: write!.stamp, write: { ...write!, since: givenUp }, asked, ticket }
  }
}

// --------------------------------------------------------------------------------------------------------------- steps

const hear = (process: Process): void => {
  const [kind, stamp, order] = process.messages.shift()!
  process.heard = Math.max(process.heard, order)
  if (kind === "mark") process.mark = Math.max(process.mark, stamp)
  else {
    dropUpTo(process, stamp)
    if (process.operation !== null) {
      process.operation = { ...process.operation, changed: Math.max(process.operation.changed, stamp) }
    }
  }
}

const arm = (process: Process, server: Server.Server): void => {
  process.isArmed = true
  process.copy = null
  process.heard = 0
  process.mark = Math.max(process.mark, server.mark)
  process.floor = Math.max(process.floor, server.floor)
  if (process.operation !== null) {
    const isRead = process.operation.command?.kind === "read"
    const changed = isRead ? Number.POSITIVE_INFINITY : process.operation.changed
    process.operation = { ...process.operation, isDeaf: true, changed }
  }
}

const lifetimes = ({ lifetimes = [10_000] }: Options): ReadonlyArray<number> => lifetimes

/** The steps that a process may take. */
export const stepsOf = (state: State, i: number, options: Options): ReadonlyArray<Step<State>> => {
  const process = state.processes[i]!
  const { copy, isArmed, left, messages, operation, undelivered } = process
  const hasMemory = options.memory === true
  const may = (letter: string) => left > 0 && options.processes[i]![0].includes(letter)
  const steps: Array<Step<State>> = []
  const add = (label: string, take: (process: Process, state: State) => string | undefined | void) =>
    steps.push({ label: `P${i} ${label}`, take: (state) => take(state.processes[i]!, state) ?? undefined })
  const start = (label: string, take: (process: Process, state: State) => string | undefined | void) =>
    add(label, (process, state) => {
      process.left--
      return take(process, state)
    })
  if (messages.length > 0) add(`hears of ${messages[0]!.join(" ")}`, hear)
  if (hasMemory && isArmed && state.left.deaf > 0) {
    add("misses messages", (process, state) => {
      state.left.deaf--
      process.isArmed = false
      process.messages = []
    })
  }
  if (!isArmed) add("gets messages again", (process, state) => arm(process, state.server))
  if (operation === null) {
    if (undelivered !== null && wasCarriedOut(process, undelivered)) {
      add("notes that its set was carried out", (process, state) => {
        process.undelivered = null
        confirm(state, process, undelivered.asked)
      })
    } else if (undelivered !== null) {
      add(`delivers its ${undelivered.kind}`, (process) => startDelivery(process, i, undelivered, false))
    } else if (hasMemory && isArmed && copy !== null && admits(process, copy.stamp)) {
      if (may("r")) {
        start("reads its copy", ({ copy, heard }) =>
          copy!.since < heard ? "a copy answers that a message has outdated" : undefined
        )
      }
    } else if (may("r")) start("reads", (_, state) => startRead(state, i))
    if (may("f") && undelivered === null) {
      start("refreshes", (process) => {
        const command: Command = { kind: "raise", process: i, seen: process.seen }
        process.operation = { ...none, name: "refresh", command }
      })
    }
    if (may("o")) {
      start("sets another key", (process, state) => observe(process, Server.setOther(state.server, process.seen)))
      start("sets two other keys", (process, state) => observe(process, Server.setOthers(state.server, process.seen)))
    }
    if (undelivered?.kind === "mark") return steps
    if (may("i")) start("invalidates", (_, state) => startWrite(state, i, "invalidate", 0))
    if (may("t") && undelivered === null) start("invalidates the tag", (_, state) => startWrite(state, i, "tag", 0))
    if (may("s")) {
      for (const life of lifetimes(options)) start(`sets for ${life}`, (_, state) => startWrite(state, i, "set", life))
    }
    return steps
  }
  if (operation.load !== undefined) {
    for (const life of lifetimes(options)) {
      add(`has loaded for ${life}`, (_, state) => endLoad(state, i, life, hasMemory))
    }
    return steps
  }
  const { kind } = operation.command!
  if (operation.reply === undefined) {
    add(`${kind} runs`, (process, state) => {
      const { operation } = process
      process.operation = { ...operation!, reply: run(state, operation!.command!, hasMemory) }
    })
  } else add(`${kind} is answered`, (_, state) => onReply(state, i, hasMemory))
  if (state.left.gives > 0 && kind !== "read" && kind !== "raise") {
    for (const comesLate of operation.reply !== undefined && kind === "set" ? [true, false] : [false]) {
      add(`gives up its ${kind}${comesLate ? ", the answer comes late" : ""}`, (_, state) => {
        state.left.gives--
        giveUp(state, i, comesLate)
      })
    }
  }
  return steps
}
