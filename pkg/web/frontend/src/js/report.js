import { element } from './dom.js'
import { clearErrors, showErrors } from './errors.js'
import { receiptCode, uuidv7 } from './ids.js'
import sitePicker from './picker.js'

const patience = 45000 // ms to wait for an answer on one bar of signal

// report makes the form quicker and safer to send: questions appear when they
// apply, "Just now" and "today" are those of the tap, and nothing typed is lost when
// sending fails. Without it the form posts as any other.
export default function report (form) {
  const field = form.elements
  const button = form.querySelector('.app-send')
  const trouble = form.querySelector('[data-trouble]')
  const sendLabel = button.textContent
  let sending = false
  let sent = false

  const select = form.querySelector('select[data-site-picker]')
  if (select) sitePicker(select)

  // The id and the receipt are made here, so that sending again after a lost
  // answer is the same report. A page that comes back from the server keeps its own.
  const begin = () => {
    field.id.value = uuidv7()
    field.receipt.value = receiptCode()
  }
  if (!form.hasAttribute('data-kept')) begin()

  const closed = () => form.querySelectorAll('[data-reveal]:not(.is-open)')
  const reveal = () => {
    const answers = new FormData(form)
    for (const part of form.querySelectorAll('[data-reveal]')) {
      const [name, values] = part.dataset.reveal.split('=')
      part.classList.toggle('is-open', values.split('|').includes(answers.get(name)))
    }
  }
  form.addEventListener('change', e => {
    if (e.target.name === 'when') field.pressed_at.value = new Date().toISOString()
    reveal()
  })
  reveal()

  // Coming back after sending finds the page as it was left: begin anew.
  addEventListener('pageshow', e => {
    if (!e.persisted || !sent) return
    sent = false
    button.textContent = sendLabel
    form.reset()
    begin()
    reveal()
    say()
  })

  form.addEventListener('submit', async e => {
    e.preventDefault()
    if (sending) return
    sending = true
    button.setAttribute('aria-disabled', 'true')
    button.textContent = 'Sending…'
    let again = sendLabel
    try {
      again = await send()
    } finally {
      sending = false
      button.removeAttribute('aria-disabled')
      button.textContent = again
    }
  })

  // send returns what the button says afterwards.
  async function send () {
    field.sent_at.value = new Date().toISOString()
    let answer
    try {
      answer = await post(form.action, filled())
    } catch {
      say('Not sent yet', 'There was no answer. Everything you typed is still on this page: keep it open and try again when you have signal. It will not be counted twice.')
      return 'Try again'
    }
    if (answer.ok) {
      sent = true
      location.assign('/report/received')
      return 'Sending…'
    }
    const problem = await answer.json().catch(() => ({}))
    if (answer.status === 422 && problem.errors) {
      say()
      showErrors(form, problem.errors)
      return sendLabel
    }
    if (answer.status === 409) {
      const first = field.receipt.value
      begin()
      say('This was already received', `A report was received from this page before you changed it. Its receipt code is ${first}. To file what is here now as another report, send it again.`)
      return 'Send as another report'
    }
    say('Not sent yet', (problem.detail || 'Something went wrong.') + ' Everything you typed is still on this page.')
    return 'Try again'
  }

  // filled returns the answers, without those to questions that do not show.
  function filled () {
    const answers = new URLSearchParams(new FormData(form))
    for (const part of closed()) part.querySelectorAll('[name]').forEach(control => answers.delete(control.name))
    return answers
  }

  function say (heading, text) {
    clearErrors(form)
    trouble.replaceChildren()
    if (!heading) return
    const box = element('div', { className: 'app-trouble', role: 'alert', tabIndex: -1 }, element('h2', {}, heading), element('p', {}, text))
    trouble.append(box)
    box.focus()
  }
}

async function post (url, body) {
  const limit = new AbortController()
  const timer = setTimeout(() => limit.abort(), patience)
  try {
    return await fetch(url, { method: 'POST', body, headers: { Accept: 'application/json' }, signal: limit.signal })
  } finally {
    clearTimeout(timer)
  }
}
