package storetest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/incident"
)

type incidentT = incident.Incident

// incidentOf lets filled make an incident behind a pointer.
type incidentOf struct{ Incident *incident.Incident }

// filled returns a T in which every field, also those added after this was
// written, has a value of its own that is not the zero value.
func filled[T any](t *testing.T) T {
	t.Helper()
	var v T
	f := filler{t: t}
	f.fill(reflect.ValueOf(&v).Elem())
	return v
}

// Filled returns a T in which every field, also those added after this was
// written, has a value of its own, for tests of what copies them.
func Filled[T any](t *testing.T) T {
	t.Helper()
	return filled[T](t)
}

type filler struct {
	t *testing.T
	n int // values so far
}

func (f *filler) fill(v reflect.Value) {
	f.n++
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(at.Add(time.Duration(f.n) * 61 * time.Second)))
		return
	case incident.Month:
		v.Set(reflect.ValueOf(incident.Month{Year: 2026, Month: time.Month(f.n%12 + 1)}))
		return
	case []byte:
		v.SetBytes([]byte{0xff, 0, byte(f.n), byte(f.n >> 8)})
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("text “%d”", f.n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(f.n) + 1)
	case reflect.Uint64:
		v.SetUint(uint64(f.n) + 1)
	case reflect.Float64:
		v.SetFloat(float64(f.n) + 1.0/3)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem())
	case reflect.Struct:
		for n := range v.NumField() {
			f.fill(v.Field(n))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for n := range v.Len() {
			f.fill(v.Index(n))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			f.fill(key)
			f.fill(value)
			v.SetMapIndex(key, value)
		}
	default:
		f.t.Fatalf("filled does not know how to fill a %s", v.Type())
	}
}

// copyOf returns a copy that shares nothing with the original.
func copyOf[T any](t *testing.T, original *T) *T {
	t.Helper()
	text, err := json.Marshal(original)
	must(t, err)
	c := new(T)
	must(t, json.Unmarshal(text, c))
	return c
}

// dump writes a value so that two can be compared by eye.
func dump(v any) string {
	text, err := json.Marshal(v)
	if err != nil { // a map whose keys are structs, say
		return fmt.Sprintf("%+v", v)
	}
	return string(text)
}
