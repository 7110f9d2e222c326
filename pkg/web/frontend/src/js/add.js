import { shrink } from './photos.js'

// add has what is added to a report sent with its photos made small, unless
// their originals are to be kept; the server looks at them in any case. Without
// signal nothing is sent, and what was written stays on the page. Without
// script the form posts as any other.
export default function add (form) {
  const { photo, keep_originals: keep } = form.elements
  const offline = form.querySelector('.app-net')
  let busy = false
  addEventListener('pageshow', () => { busy = false })
  form.addEventListener('submit', async e => {
    offline.hidden = navigator.onLine
    const toShrink = photo && !keep.checked ? [...photo.files] : []
    if (navigator.onLine && !busy && !toShrink.length) return
    e.preventDefault()
    if (busy || !navigator.onLine) return
    busy = true
    const small = new DataTransfer()
    for (const file of toShrink) {
      small.items.add(await shrink(file).then(jpeg => new File([jpeg], 'photo.jpg'), () => file))
    }
    photo.files = small.files
    form.submit()
  })
}
