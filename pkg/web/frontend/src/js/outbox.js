import { all, change, remove } from './db.js'

// A row's state:
//
//   draft       being written
//   waiting     to be sent; unsure when an earlier attempt may have arrived
//   held        a person must change it before it can be sent
//   received    the server has it on disk
//   registered  it is in the reps' list: its words have left this phone
//   read        a rep has read it
//
// Nothing but a person takes an unsent row away, and time what was never to be
// sent.

const draftLife = 12 * 3600e3
const codeLife = 600e3 // how long a receipt stays after its report was registered
const patience = 45e3 // to wait for an answer on one bar of signal

export const isDead = r => r.state === 'draft'
  ? !r.pressed && Date.now() - r.changed > draftLife
  : r.registeredAt && !r.keep && !r.adds.length && Date.now() - r.registeredAt > codeLife

const isToSend = addition => !addition.refused

// needsWork reports whether there is something to send or to ask.
export const needsWork = r => r.state === 'waiting' || r.state === 'received' || (r.registeredAt && r.adds.some(isToSend))

// flush sends and asks whatever is due, one thing after another; all of it when
// a person says so, with the report first whose id is given. Two tabs, or a page
// and the worker, take turns. It resolves to how many are not done with.
export const flush = now => navigator.locks ? navigator.locks.request('outbox', () => run(now)) : run(now)

async function run (now) {
  for (const r of (await all()).sort((a, b) => (b.id === now) - (a.id === now) || a.at - b.at)) {
    if (isDead(r)) await remove(r.id)
    else if (now || r.next < Date.now()) {
      if (r.state === 'waiting') await send(r)
      else if (needsWork(r) || (now && r.registeredAt)) await ask(r)
    }
  }
  return (await all()).filter(needsWork).length
}

// soon returns when to try again: later after every attempt, and never the
// same moment for phones that failed together.
const soon = tries => Date.now() + Math.min(3e5, 2e3 * 2 ** tries) * (0.75 + Math.random() / 2)

async function send (r) {
  if (!navigator.onLine) return change(r.id, { trouble: 'network', next: soon(r.tries) })
  // From here on it may have arrived, whatever becomes of the answer.
  await change(r.id, { unsure: true, tries: r.tries + 1, next: soon(r.tries) })
  const answer = await post(r).catch(() => ({}))
  if (!answer.status) return change(r.id, { trouble: 'network' })
  const { status } = answer
  const said = await answer.json().catch(() => ({}))
  // What was erased had been received: it leaves the phone when that is known.
  if (isReceipt(answer, said, r.id) || said.code === 'erased') return change(r.id, { state: 'received', receivedAt: said.received_at, trouble: 0, tries: 0, next: 0 })
  if ([409, 422].includes(status)) return change(r.id, { state: 'held', trouble: status, errors: said.errors || [], unsure: r.unsure })
  const next = Math.max(soon(r.tries), Date.now() + answer.headers.get('Retry-After') * 1000)
  // Whoever says yes without naming the report, like a network's own page to
  // sign in at, is not the server: to the report it is as if there were no signal.
  return change(r.id, answer.ok ? { trouble: 'network', next } : { trouble: status, unsure: r.unsure || status > 499, next })
}

// isReceipt reports whether an answer says that a report is on the server's disk.
export const isReceipt = (answer, said, id) => answer.ok && said.id === id

// post sends a report as the form would. One that nobody signed goes without
// the session of whoever is signed in now.
const post = async r => request('/report/', body(r), r.person ? 'same-origin' : 'omit', { Accept: 'application/json', 'Accept-Language': r.language })

// body returns what the form would send.
export function body (r) {
  const body = r.photos.length ? new FormData() : new URLSearchParams()
  for (const [name, value] of r.fields) body.append(name, value)
  body.set('sent_at', new Date().toISOString())
  if (r.person) body.set('person', r.person)
  for (const { small, whole } of r.photos) body.append('photo', new Blob([whole || small]), 'photo')
  return body
}

// ask sends what was added to a report and learns where it stands.
async function ask (r) {
  await change(r.id, { tries: r.tries + 1, next: soon(r.tries) })
  const addition = r.adds.find(isToSend)
  const answer = await request('/api/v1/follow-up', JSON.stringify({ receipt: r.receipt, addition: addition && { id: addition.id, what: 'words', text: addition.text } }), 'omit', { 'Content-Type': 'application/json' }).catch(() => ({}))
  const said = answer.ok ? await answer.json().catch(() => ({})) : {}
  if (said.registered && (!addition || said.addition?.id === addition.id)) {
    return change(r.id, now => ({
      state: said.read ? 'read' : 'registered',
      registeredAt: now.registeredAt || Date.now(),
      adds: now.adds.filter(a => a.id !== addition?.id),
      fields: [],
      photos: [],
      tries: 0,
      next: 0
    }))
  }
  if (addition && [400, 409, 422].includes(answer.status)) { // a person must look at it
    return change(r.id, now => ({ adds: now.adds.map(a => a.id === addition.id ? { ...a, refused: true } : a), next: 0 }))
  }
  // Received, and not in the list for long: say it again, which counts once.
  if (answer.status === 404 && r.tries % 4 === 3 && r.fields.length) await post(r).catch(() => ({}))
}

// Browsers that cannot set a time of their own have one of theirs.
export const request = (url, body, credentials, headers) =>
  fetch(url, { method: 'POST', body, credentials, headers, signal: AbortSignal.timeout?.(patience) })
