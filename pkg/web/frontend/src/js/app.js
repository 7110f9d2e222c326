import { Button, ErrorSummary, SkipLink, createAll } from 'govuk-frontend'
import add from './add.js'
import phone, { pending } from './phone.js'
import report, { later } from './report.js'
import { forget, learn } from './who.js'

document.body.classList.add('js-enabled', 'govuk-frontend-supported')
for (const component of [Button, ErrorSummary, SkipLink]) createAll(component)

const workers = navigator.serviceWorker // only over HTTPS, or on this machine
const root = document.querySelector('[data-states]')
// The page is painted first: nobody taps what they do not see.
if (root) Promise.race([new Promise(requestAnimationFrame), later(200)]).then(() => later(0)).then(start)
const adding = document.querySelector('form[data-add]')
if (adding) add(adding)

async function start () {
  workers?.register('/report/worker.js', { scope: '/report/' }).catch(() => {})
  const net = document.querySelector('[data-net]')
  const sayNet = () => { net.hidden = navigator.onLine }
  addEventListener('online', sayNet)
  addEventListener('offline', sayNet)
  sayNet()
  const known = learn()
  document.addEventListener('visibilitychange', () => { if (document.visibilityState === 'visible') learn() })
  const shown = phone(root)
  const form = document.querySelector('form[data-report]')
  const filing = document.querySelector('[data-filing]')
  // show puts what is kept in the place of the form, at an address of its own.
  const show = id => {
    if (id) history.pushState(null, '', '/report/phone/#' + id)
    filing?.remove()
    root.hidden = false
    scrollTo(0, 0)
    return shown.draw()
  }
  addEventListener('popstate', () => { if (location.pathname === '/report/') location.reload() })
  if (form && location.pathname === '/report/') report(form, show, known)
  else {
    await show()
    await known
  }
  shown.work(true)
}

// Another language is another page: the one that is kept must not come first.
document.querySelector('[data-language]')?.addEventListener('click', async e => {
  if (!workers) return
  e.preventDefault()
  const { href } = e.currentTarget
  try {
    await fetch(href)
    const worker = await workers.getRegistration('/report/')
    await worker?.unregister()
    location.assign(href)
  } catch {
    document.querySelector('[data-net]')?.removeAttribute('hidden')
  }
})

// Whoever signs out says what becomes of what they have not sent.
document.querySelector('.app-sign-out')?.addEventListener('submit', async e => {
  e.preventDefault()
  const form = e.currentTarget
  const unsent = await pending().catch(() => [])
  if (unsent.length) return location.assign('/report/phone/#leaving')
  forget()
  form.submit()
})
