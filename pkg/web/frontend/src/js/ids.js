const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

// uuidv7 makes a report's id: the time and 74 random bits (RFC 9562, 5.7).
// crypto.randomUUID is not used: it is version 4, and missing without HTTPS.
export function uuidv7 (now = Date.now()) {
  const b = crypto.getRandomValues(new Uint8Array(16))
  for (let i = 5; i >= 0; i--) {
    b[i] = now % 256
    now = Math.floor(now / 256)
  }
  b[6] = (b[6] & 0x0f) | 0x70
  b[8] = (b[8] & 0x3f) | 0x80
  const hex = Array.from(b, x => x.toString(16).padStart(2, '0')).join('')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

// receiptCode makes a receipt: 75 random bits and a Luhn mod 32 check
// character, as services/intake/internal/receipt reads it.
export function receiptCode (digits = Array.from(crypto.getRandomValues(new Uint8Array(15)), x => x & 31)) {
  const sum = digits.reduceRight(([total, factor], d) => {
    const n = factor * d
    return [total + Math.floor(n / 32) + n % 32, 3 - factor]
  }, [0, 2])[0]
  return [...digits, (32 - sum % 32) % 32].map(d => alphabet[d]).join('').replace(/(.{4})(?=.)/g, '$1-')
}
