import { all, change, get, onChange, put, remove } from './db.js'
import { receiptCode, uuidv7 } from './ids.js'
import { flush, isDead, needsWork } from './outbox.js'
import { forget, isMine, person } from './who.js'

const day = 24 * 3600e3
const sync = 'sync' in (self.ServiceWorkerRegistration?.prototype ?? {}) // a browser that sends with the page closed
const steps = ['waiting', 'received', 'registered', 'read']

// clock says a time as the server does, after its day if days are named:
// browsers know no Welsh.
export function clock (time, days) {
  const at = new Date(time)
  const hour = at.getHours()
  return `${days ? days.split(' ')[at.getDay()] + ' ' : ''}${hour % 12 || 12}:${String(at.getMinutes()).padStart(2, '0')}${hour < 12 ? 'am' : 'pm'}`
}

// isUnsent reports whether a row is only on this phone.
export const isUnsent = r => ['draft', 'waiting', 'held'].includes(r.state)

// isOpen reports whether a row can still be changed: nothing of it has left.
export const isOpen = r => r.state === 'draft' || r.state === 'held' || (r.state === 'waiting' && !r.unsure)

// phone keeps sending what is kept on this phone, and shows it in root, one
// report large and the others in a list, unless root is hidden. All its words
// stand in the page's templates.
export default function phone (root) {
  let drawn = ''
  let timer

  const fill = (name, row, flags) => {
    const part = document.getElementById(name).content.firstElementChild.cloneNode(true)
    part.querySelectorAll('[data-when]').forEach(e => { if (!e.dataset.when.split(' ').some(w => flags.has(w))) e.remove() })
    part.querySelectorAll('[data-put]').forEach(e => {
      const value = row[e.dataset.put]
      e.value === undefined ? e.textContent = value : e.value = value
    })
    return part
  }

  const flagsOf = r => new Set([
    r.state,
    r.state === 'waiting' && (r.unsure ? 'unsure' : 'unsent'),
    isUnsent(r) ? 'here' : 'gone',
    r.state === 'waiting' && ([401, 403].includes(r.trouble) ? (person() && !r.person ? 'adopt' : 'sign-in') : r.trouble > 0 ? 'refused' : 'later'),
    r.state === 'held' && (r.trouble === 409 ? 'twin' : 'mend'),
    r.state === 'waiting' && Date.now() - r.changed > day && 'old',
    sync ? 'sync' : 'no-sync',
    !self.isSecureContext && 'insecure',
    navigator.clipboard && r.state !== 'held' && r.state !== 'draft' && 'copy',
    r.adds.some(a => !a.refused) && 'added',
    r.adds.some(a => a.refused) && 'refusal',
    r.registeredAt && (r.keep ? 'kept' : 'leaves')
  ])

  const wordsOf = r => ({ ...r, time: clock(r.at, root.dataset.days), leaves: clock((r.registeredAt || 0) + 600e3), errors: r.errors.map(e => e.message).join(' '), where: location.origin + '/follow-up/', refused: r.adds.filter(a => a.refused).map(a => a.text).join(' ') })

  async function draw () {
    const rows = (await all().catch(() => [])).filter(r => !isDead(r)).sort((a, b) => b.changed - a.changed)
    const mine = rows.filter(isMine)
    const leaving = location.hash === '#leaving'
    const head = leaving ? undefined : mine.find(r => r.id === location.hash.slice(1)) || mine[0]
    const next = JSON.stringify([leaving, head?.id, person(), rows.map(r => [...flagsOf(r), r.errors, r.adds])])
    schedule(rows)
    if (root.hidden || next === drawn || root.contains(document.activeElement?.closest('textarea'))) return
    const first = !drawn
    drawn = next
    root.replaceChildren()
    if (leaving) root.append(fill('leaving', {}, new Set()))
    else if (head) root.append(large(head))
    else root.append(fill('none', {}, new Set()))
    const others = mine.filter(r => r !== head)
    if (others.length) {
      const list = fill('others', {}, new Set())
      list.querySelector('ul').append(...others.map(r => {
        const item = fill('other', wordsOf(r), flagsOf(r))
        item.querySelector('a').hash = r.id
        return item
      }))
      root.append(list)
    }
    if (rows.length > mine.length) root.append(fill('strangers', {}, new Set()))
    const heading = root.querySelector('h1')
    document.title = heading.textContent.trim().replace(/\s+/g, ' ') + ' – On Record'
    if (first) heading.focus()
  }

  function large (r) {
    const flags = flagsOf(r)
    const part = fill('report', wordsOf(r), flags)
    part.dataset.state = r.state
    part.querySelectorAll('[data-code]').forEach(e => e.append(...r.receipt.split('-').map((group, n) =>
      Object.assign(document.createElement('span'), { textContent: n < 3 ? group + '-' : group }))))
    const at = Math.max(0, steps.indexOf(r.state))
    part.querySelectorAll('.app-progress li').forEach((li, n) => {
      const how = n < at || (n === at && n > 0) ? 'done' : n === at ? 'now' : 'todo'
      li.classList.add('is-' + how)
      li.firstElementChild.textContent = li.parentElement.dataset[how]
    })
    part.addEventListener('click', e => {
      const button = e.target.closest('[data-do]')
      if (button) act[button.dataset.do](r, button, part)
    })
    return part
  }

  // sure asks once more before something is taken away.
  const sure = button => {
    if (button.dataset.asked) return true
    button.dataset.asked = '1'
    button.textContent = button.dataset.sure
  }

  const act = {
    send: () => work(true),
    edit: r => open(r),
    adopt: async r => { await change(r.id, { person: person(), trouble: 0, next: 0 }); work(r.id) },
    again: async r => {
      const [id, receipt] = [uuidv7(), receiptCode()]
      const fields = r.fields.map(([name, value]) => [name, { id, receipt }[name] || value])
      await put({ ...r, id, receipt, fields, state: 'waiting', trouble: 0, tries: 0, next: 0, unsure: false })
      await remove(r.id)
      work(id)
    },
    add: async (r, button, part) => {
      const box = part.querySelector('textarea')
      if (!box.value.trim()) return box.focus()
      const text = box.value
      box.blur()
      await change(r.id, row => ({ adds: [...row.adds, { id: uuidv7(), text }], next: 0 }))
      work(r.id)
    },
    keep: async r => { await change(r.id, { keep: true }); draw() },
    copy: (r, button) => navigator.clipboard.writeText(r.receipt).then(() => { button.textContent = button.dataset.done }, () => {}),
    print: () => print(),
    drop: async (r, button) => { if (sure(button)) { await remove(r.id); draw() } }
  }

  // leave signs out, after the question what becomes of what is still here.
  const leaving = {
    send: async () => { await flush(true); (await pending()).length ? draw() : leaving.keep() },
    keep: () => { forget(); root.querySelector('form').submit() },
    drop: async button => {
      if (!sure(button)) return
      for (const r of await pending()) await remove(r.id)
      leaving.keep()
    }
  }
  root.addEventListener('click', e => {
    const button = e.target.closest('[data-leave]')
    if (button) leaving[button.dataset.leave](button)
  })

  async function work (now) {
    await flush(now).catch(() => {})
    return draw()
  }

  function schedule (rows) {
    clearTimeout(timer)
    const due = rows.filter(needsWork).map(r => r.next)
    if (due.length) timer = setTimeout(work, Math.max(500, Math.min(...due) - Date.now()))
  }

  for (const [target, event] of [[window, 'online'], [document, 'visibilitychange']]) {
    target.addEventListener(event, () => { if (document.visibilityState === 'visible') work(true) })
  }
  addEventListener('hashchange', () => { drawn = ''; draw() })
  onChange(draw)
  return { draw, work }
}

// open goes to the form with a report in it.
async function open (r) {
  if (r.state === 'waiting') await change(r.id, row => isOpen(row) ? { state: 'draft' } : {})
  const row = await get(r.id)
  if (isOpen(row)) location.assign('/report/#' + r.id)
}

// pending returns what whoever is signed in has not sent.
export const pending = async () => (await all()).filter(r => isMine(r) && isUnsent(r))
