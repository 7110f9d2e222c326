import 'fake-indexeddb/auto'
import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'

delete globalThis.BroadcastChannel // it would keep Node running
Object.defineProperty(globalThis, 'navigator', { value: { onLine: true }, configurable: true })
const { all, get, put, remove } = await import('./db.js')
const { flush, isDead, needsWork } = await import('./outbox.js')

const words = 'a man at the front desk threw a chair'
const row = more => ({
  id: 'one',
  receipt: 'CODE',
  person: '',
  language: 'cy',
  at: 1,
  changed: Date.now(),
  state: 'waiting',
  pressed: true,
  fields: [['narrative', words], ['id', 'one']],
  photos: [],
  adds: [],
  errors: [],
  tries: 0,
  next: 0,
  ...more
})

// ours is what the server says with yes.
const ours = (url, body) => url === '/report/'
  ? { id: body.get('id') }
  : { registered: true, read: false, addition: JSON.parse(body).addition }

// answers says what the server says, in turn; the last for ever.
let asked
function answers (...said) {
  asked = []
  globalThis.fetch = async (url, options) => {
    asked.push({ url, ...options })
    const [status, body = options.body && ours(url, options.body), headers = {}] = said.length > 1 ? said.shift() : said[0]
    if (!status) throw new TypeError('the wire was cut')
    return new Response(JSON.stringify(body), { status, headers })
  }
}

beforeEach(async () => {
  navigator.onLine = true
  for (const r of await all()) await remove(r.id)
})

test('whatever the answer, nothing is dropped, and the page can tell what is so', async () => {
  for (const [status, want, unsure] of [
    [0, 'waiting', true], [400, 'waiting', false], [401, 'waiting', false], [403, 'waiting', false], [404, 'waiting', false],
    [409, 'held', false], [413, 'waiting', false], [415, 'waiting', false], [422, 'held', false], [429, 'waiting', false],
    [500, 'waiting', true], [502, 'waiting', true], [503, 'waiting', true], [200, 'received', true], [201, 'received', true]
  ]) {
    await put(row())
    answers([status, { id: 'one', errors: [{ field: 'when', message: 'It must be in the past.' }] }])
    const left = await flush(true)
    const r = await get('one')
    assert.equal(r.state, want, `after ${status}`)
    if (want !== 'received') assert.equal(Boolean(r.unsure), unsure, `after ${status}`)
    assert.equal(r.fields[0][1], words, `after ${status}`)
    assert.equal(left, want === 'held' ? 0 : 1, `after ${status}`)
    if (want === 'waiting') assert.ok(r.next > Date.now(), `${status} is tried again at once`)
    if (status === 422) assert.equal(r.errors[0].message, 'It must be in the past.')
  }
})

test('a report that was erased on the server leaves the phone as one that was registered', async () => {
  await put(row({ unsure: true }))
  answers([409, { code: 'erased' }], [200, { registered: true, read: true }])
  await flush(true)
  await flush(true)
  const r = await get('one')
  assert.deepEqual([r.state, r.fields], ['read', []])
})

test('what may have arrived stays so, whatever is answered later', async () => {
  await put(row({ unsure: true }))
  answers([401])
  await flush(true)
  assert.equal((await get('one')).unsure, true)
})

test('a yes of somebody else is none: a network that wants one to sign in, a proxy that has lost its way', async () => {
  for (const said of [{}, { id: 'another' }, { status: 'ok', read: true }]) {
    await put(row())
    answers([200, said])
    await flush(true)
    let r = await get('one')
    assert.deepEqual([r.state, r.trouble, r.unsure], ['waiting', 'network', true], JSON.stringify(said))
    await put(row({ state: 'received', adds: [{ id: 'a', text: 'by the window' }] }))
    await flush(true)
    r = await get('one')
    assert.deepEqual([r.state, r.fields[0][1], r.adds.length], ['received', words, 1], JSON.stringify(said))
  }
})

test('without signal nothing is tried, so that the report can still be changed', async () => {
  navigator.onLine = false
  await put(row())
  answers([201])
  await flush(true)
  const r = await get('one')
  assert.deepEqual([r.state, r.unsure, asked.length], ['waiting', undefined, 0])
})

test('a server that names a time is left alone until then', async () => {
  await put(row())
  answers([429, {}, { 'Retry-After': '120' }])
  await flush(true)
  assert.ok((await get('one')).next >= Date.now() + 119e3)
  await flush()
  assert.equal(asked.length, 1)
})

test('each try waits longer than the one before, up to a few minutes', async () => {
  await put(row())
  answers([0])
  const waits = []
  for (let n = 0; n < 12; n++) {
    await flush(true)
    waits.push((await get('one')).next - Date.now())
  }
  assert.ok(waits[5] > 2 * waits[0] && waits.every(w => w > 1000 && w < 4e5), String(waits))
})

test('the words leave the phone when the report is registered, and not before', async () => {
  await put(row({ photos: [{ small: new ArrayBuffer(3) }] }))
  answers([201, { id: 'one', received_at: '2026-11-27T12:00:00Z' }], [404], [200], [200, { registered: true, read: true }])
  await flush(true)
  await flush(true)
  let r = await get('one')
  assert.deepEqual([r.state, r.fields[0][1], r.photos.length], ['received', words, 1])
  await flush(true)
  r = await get('one')
  assert.deepEqual([r.state, r.fields, r.photos, r.receipt], ['registered', [], [], 'CODE'])
  await flush(true)
  assert.equal((await get('one')).state, 'read')
  assert.deepEqual(asked.map(a => a.url), ['/report/', '/api/v1/follow-up', '/api/v1/follow-up', '/api/v1/follow-up'])
})

test('what was received and is not found for long is sent again', async () => {
  await put(row({ state: 'received' }))
  answers([404])
  for (let n = 0; n < 4; n++) await flush(true)
  assert.deepEqual(asked.map(a => a.url).slice(-2), ['/api/v1/follow-up', '/report/'])
  assert.equal((await get('one')).state, 'received')
})

test('what was added goes after the report, once, and one that is refused is kept', async () => {
  await put(row({ unsure: true, adds: [{ id: 'a', text: 'by the window' }, { id: 'b', text: 'bad' }] }))
  answers([200], [200], [422], [200])
  for (let n = 0; n < 5; n++) await flush(true)
  const sent = asked.slice(1).map(a => JSON.parse(a.body).addition?.id)
  assert.deepEqual(sent, ['a', 'b', undefined, undefined])
  const r = await get('one')
  assert.deepEqual(r.adds, [{ id: 'b', text: 'bad', refused: true }])
  assert.equal(needsWork(r), false)
  assert.ok(!isDead({ ...r, registeredAt: 1 }), 'with something refused it goes by itself')
})

test('a report goes with the session of who wrote it, or with none', async () => {
  await put(row())
  await put(row({ id: 'two', person: 'tag', at: 2, photos: [{ small: new ArrayBuffer(3), whole: new ArrayBuffer(5) }] }))
  answers([401])
  await flush('two')
  const [first, second] = asked
  assert.deepEqual([first.credentials, first.body.get('person'), first.body.get('photo').size], ['same-origin', 'tag', 5])
  assert.deepEqual([second.credentials, second.body.get('person'), second.headers['Accept-Language']], ['omit', null, 'cy'])
  assert.ok(Date.parse(second.body.get('sent_at')) > Date.now() - 5000)
})

test('time takes a draft that was never sent, and a code that is not kept', () => {
  const ago = hours => Date.now() - hours * 3600e3
  for (const [r, want] of [
    [{ state: 'draft', changed: ago(11.9) }, false],
    [{ state: 'draft', changed: ago(12.1) }, true],
    [{ state: 'draft', changed: ago(99), pressed: true }, false],
    [{ state: 'waiting', changed: ago(999) }, false],
    [{ state: 'held', changed: ago(999) }, false],
    [{ state: 'received', changed: ago(999) }, false],
    [{ state: 'registered', registeredAt: ago(0.1) }, false],
    [{ state: 'registered', registeredAt: ago(0.2) }, true],
    [{ state: 'read', registeredAt: ago(0.2) }, true],
    [{ state: 'read', registeredAt: ago(9), keep: true }, false],
    [{ state: 'read', registeredAt: ago(9), adds: [{ id: 'a' }] }, false]
  ]) assert.equal(Boolean(isDead({ adds: [], ...r })), want, JSON.stringify(r))
})
