import { all, get, put, remove } from './db.js'
import { element } from './dom.js'
import { clearErrors, showErrors } from './errors.js'
import { receiptCode, uuidv7 } from './ids.js'
import { body, flush, isDead, isReceipt, request } from './outbox.js'
import { clock, isOpen } from './phone.js'
import photos from './photos.js'
import sitePicker from './picker.js'
import { isMine, person, recall, remember } from './who.js'

const patience = 8e3 // to wait before showing what is kept instead
const pause = 400 // after typing, before it is kept; and for another page to let go of a draft
const own = ['form_version', 'language'] // what the page says of itself
const silent = [...own, 'id', 'receipt', 'pressed_at', 'sent_at', 'site', 'site_code', 'contact']

// report makes the form quicker and safe: questions appear when they apply,
// "Just now" and "today" are those of the tap, what is typed is kept on the
// phone as it is typed, and the report is kept before it is sent. show is
// called with the id of a report that was; known resolves when it is known who
// writes. Without script the form posts as any other.
export default function report (form, show, known) {
  const field = form.elements
  const button = form.querySelector('.app-send')
  const sendLabel = button.textContent
  const trouble = form.querySelector('[data-trouble]')
  const kept = form.hasAttribute('data-kept') // by the server, with an id of its own
  let keeps = true // this phone can keep a copy
  let touched = !kept && !!form.querySelector('[name="kind"]:checked, [name="when"]:checked') // before this script was there
  let sending = false
  let saving
  let row = {
    id: kept ? field.id.value : uuidv7(),
    receipt: (kept && field.receipt.value) || receiptCode(),
    person: '',
    at: Date.now(),
    state: 'draft',
    fields: [],
    photos: [],
    adds: [],
    errors: [],
    tries: 0,
    next: 0
  }
  field.id.value = row.id
  field.receipt.value = row.receipt

  const select = form.querySelector('select[data-site-picker]')
  const chooseSite = select && sitePicker(select)
  const usual = new URLSearchParams(location.search).get('site') || recall('site')
  if (usual && !kept) set('site', usual)
  const code = new URLSearchParams(location.search).get('code') || recall('code')
  if (code && field.site_code && !kept) set('site_code', code)
  count(form.querySelector('[data-maxlength]'))
  if (touched) pressed()
  reveal()
  const ready = begin().catch(cannotKeep).then(() => photos(form.querySelector('[data-photos]'), row.photos, changed))

  form.addEventListener('change', e => {
    if (e.target.name === 'when') pressed()
    reveal()
  })
  for (const event of ['input', 'change']) form.addEventListener(event, changed)
  addEventListener('pagehide', () => { if (saving) save() })
  addEventListener('pageshow', e => { if (e.persisted) location.reload() })

  form.addEventListener('submit', async e => {
    e.preventDefault()
    if (sending) return
    clearErrors(form)
    trouble.replaceChildren()
    const missing = check()
    if (missing.length) return showErrors(form, missing)
    sending = true
    button.setAttribute('aria-disabled', 'true')
    button.textContent = button.dataset.sending
    let again = sendLabel
    try {
      again = await send()
    } finally {
      sending = false
      button.removeAttribute('aria-disabled')
      button.textContent = again || sendLabel
    }
  })

  // pressed notes when the answer to "when" was tapped.
  function pressed () {
    field.pressed_at.value = new Date().toISOString()
  }

  function changed () {
    touched = true
    clearTimeout(saving)
    saving = setTimeout(save, pause)
  }

  // begin goes on with the report named in the address, or else with the newest
  // draft that no other tab has open, unless somebody has begun already.
  async function begin () {
    const alive = (await all()).filter(r => !isDead(r))
    if (!alive.every(isMine)) { // they may have signed in since
      const told = await Promise.race([known.then(() => true), later(patience / 4)])
      const others = alive.filter(r => !isMine(r))
      if (!told) known.then(() => { if (!touched && others.some(isMine)) location.reload() })
    }
    const rows = alive.filter(isMine)
    form.querySelector('[data-waiting]').hidden = !rows.some(r => r.state !== 'draft')
    const wanted = location.hash.slice(1)
    if (wanted === 'new') history.replaceState(null, '', location.pathname) // or a reload would begin anew again
    if (kept || wanted === 'new') return
    const open = rows.filter(r => wanted ? r.id === wanted && isOpen(r) : r.state === 'draft')
    for (const r of open.sort((a, b) => b.changed - a.changed)) {
      if (touched) return
      if (await claim(r.id)) return goOn(r)
    }
  }

  function goOn (r) {
    row = r
    for (const [name, value] of r.fields) if (!own.includes(name)) set(name, value)
    reveal()
    const note = form.querySelector('[data-draft]')
    note.querySelector('time').textContent = clock(r.changed)
    note.hidden = false
    const [clear, another] = note.querySelectorAll('button')
    clear.onclick = async () => { stop(); await remove(r.id); afresh() }
    another.onclick = async () => { await save(); afresh() }
    if (r.pressed) clear.remove()
    if (r.errors.length) showErrors(form, r.errors)
  }

  function set (name, value) {
    const control = field[name]
    if (name === 'site' && chooseSite) chooseSite(value)
    else if (control && control.type === 'checkbox') control.checked = true
    else if (control && control.type !== 'file') control.value = value
  }

  function afresh () {
    location.replace('/report/#new')
    location.reload()
  }

  function reveal () {
    const answers = new FormData(form)
    for (const part of form.querySelectorAll('[data-reveal]')) {
      const [name, values] = part.dataset.reveal.split('=')
      part.classList.toggle('is-open', values.split('|').includes(answers.get(name)))
    }
  }

  // typed returns every answer; asked without those to questions that do not show.
  const typed = () => [...new FormData(form)].filter(([, value]) => typeof value === 'string')
  function asked () {
    const hidden = [...form.querySelectorAll('[data-reveal]:not(.is-open) [name]')].map(control => control.name)
    return typed().filter(([name]) => !hidden.includes(name))
  }

  // check returns what must be answered and was not.
  function check () {
    const answers = Object.fromEntries(asked())
    if (answers.kind === 'unknown') answers.kind = ''
    answers.kind ||= answers.narrative
    const missing = []
    for (const part of form.querySelectorAll('[data-need]')) {
      const { field: names, need: message } = part.dataset
      const empty = names.split(' ').find(name => !answers[name]?.trim())
      if (empty && !part.closest('[data-reveal]:not(.is-open)')) missing.push({ field: empty, message })
    }
    return missing
  }

  function stop () {
    clearTimeout(saving)
    saving = 0
  }

  // save keeps what is typed. Nothing typed is nothing to keep.
  async function save () {
    await ready
    stop()
    if (sending || !keeps) return
    const fields = typed()
    if (row.state === 'draft' && !row.pressed && !row.photos.length && !fields.some(([name, value]) => value && !silent.includes(name))) return
    if (!row.changed) {
      claim(row.id)
      await whose()
    }
    row = { ...row, fields, changed: Date.now() }
    await put(slim(row)).catch(cannotKeep)
  }

  // whose notes who writes the report, as soon as that is known.
  async function whose () {
    await Promise.race([known, later(patience / 4)])
    row.person = person()
  }

  function cannotKeep () {
    keeps = false
    form.querySelector('[data-direct]').hidden = false
  }

  // slim leaves the originals of photos out, unless they are kept as evidence.
  const slim = r => field.keep_originals.checked ? r : { ...r, photos: r.photos.map(({ small }) => ({ small })) }

  // send keeps the report and then sends it; it returns what the button says
  // afterwards. On a phone that keeps nothing it is only sent.
  async function send () {
    await ready
    if (!row.changed) await whose()
    stop()
    const { site } = Object.fromEntries(asked())
    if (!['unlisted', 'not_sure'].includes(site)) remember('site', site)
    if (field.site_code) remember('code', field.site_code.value)
    row = { ...row, fields: asked(), language: field.language.value, state: 'waiting', pressed: true, changed: Date.now(), errors: [], trouble: 0, next: 0 }
    if (keeps) await put(slim(row)).catch(cannotKeep)
    if (!keeps) return direct()
    navigator.storage?.persist?.().catch(() => {})
    navigator.serviceWorker?.getRegistration('/report/').then(r => r?.sync?.register('outbox')).catch(() => {})
    await Promise.race([flush(row.id), later(patience)])
    const now = await get(row.id)
    if (now?.state === 'held' && now.errors.length) {
      row = { ...now, photos: row.photos }
      return showErrors(form, row.errors)
    }
    show(row.id)
  }

  // direct sends without keeping a copy, and says so.
  async function direct () {
    let answer
    try {
      answer = await request(form.action, body(slim(row)), 'same-origin', { Accept: 'application/json' })
    } catch {
      return say('network')
    }
    const said = await answer.json().catch(() => ({}))
    if (isReceipt(answer, said, row.id)) return location.assign('/report/received')
    if (answer.status === 422 && said.errors) return showErrors(form, said.errors)
    if (answer.status !== 409) return say(answer.ok ? 'network' : 'server')
    const label = say('twin', field.receipt.value)
    row.id = field.id.value = uuidv7()
    row.receipt = field.receipt.value = receiptCode()
    return label
  }

  function say (what, receipt) {
    const box = document.getElementById('trouble-' + what).content.firstElementChild.cloneNode(true)
    box.querySelectorAll('[data-put]').forEach(e => { e.textContent = receipt })
    trouble.replaceChildren(box)
    box.focus()
    return box.dataset.again
  }
}

export const later = ms => new Promise(resolve => setTimeout(resolve, ms))

// claim resolves to whether a draft is this tab's, for as long as it is open. It
// waits a moment for the page that was here before to let go of it.
const claim = id => new Promise(resolve => {
  if (!navigator.locks) return resolve(true)
  const waiting = new AbortController()
  setTimeout(() => waiting.abort(), pause)
  navigator.locks.request('draft ' + id, { signal: waiting.signal }, () => { resolve(true); return new Promise(() => {}) }).catch(() => resolve(false))
})

// count says how many characters are left when they begin to run out.
function count (box) {
  const note = document.getElementById(box.id + '-info')
  const most = box.dataset.maxlength
  const live = element('span', { className: 'govuk-visually-hidden', role: 'status' })
  note.after(live)
  let announce
  const draw = () => {
    const left = most - box.value.length
    const few = left < most / 4
    note.hidden = !few
    note.textContent = few ? box.dataset[left < 0 ? 'over' : 'left'].replace('%d', Math.abs(left)) : ''
    note.classList.toggle('govuk-error-message', left < 0)
    clearTimeout(announce)
    announce = setTimeout(() => { live.textContent = few ? note.textContent : '' }, 1000)
  }
  box.addEventListener('input', draw)
  draw()
}

