package yamlfile

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// A dish has a field of every kind that has a compact form.
type dish struct {
	Name    Scalar       `key:"name"`
	Tags    []Scalar     `key:"tags"`
	Labels  Entries      `key:"labels"`
	Vegan   *bool        `key:"vegan"`
	Organic *bool        `key:"organic"`
	Parts   []ingredient `key:"parts"`
	Oven    *oven        `key:"oven"`
	Gone    Scalar       `key:"gone"`
}

func readDish(t *testing.T, text string) (d dish) {
	r := NewReader("d.yaml", []byte(text))
	r.Decode(r.Document(), &d)
	if len(r.Faults()) > 0 {
		t.Fatal(r.Faults())
	}
	return d
}

// TestCompact reads a struct back from its compact form, with the line of the first text of each struct.
func TestCompact(t *testing.T) {
	t.Parallel()
	want := readDish(t, "name: \"a:1:\\u00e9\\n\"\ntags: [a, '',\n  3]\nlabels: {x: y, z: ''}\nvegan: true\norganic: false\nparts: [flour, {what: salt, amount: 2}]\noven: {degrees: 230}\n")
	var got dish
	if err := Restore(Compact(want), &got); err != nil {
		t.Fatal(err)
	}
	options := cmp.Options{
		cmpopts.IgnoreFields(Scalar{}, "Node"),
		cmp.Transformer("entry", func(e Entry) []string { return []string{e.Key.Value, e.Value.Value} }),
		cmpopts.IgnoreUnexported(ingredient{}),
	}
	if diff := cmp.Diff(want, got, options); diff != "" {
		t.Errorf("restored (-want +got):\n%s", diff)
	}
	if got.Gone.Given() || !got.Name.Given() {
		t.Error("Given is wrong")
	}
	if name, salt := got.Name.Node.Line, got.Parts[1].What.Node.Line; name != 1 || salt != 7 {
		t.Errorf("the dish is in line %d, and salt in line %d", name, salt)
	}
	var none dish
	if err := Restore(Compact(dish{}), &none); err != nil || none.Name.Given() || none.Oven != nil {
		t.Errorf("nothing given: %+v, %v", none, err)
	}
}

// FuzzRestore restores any text: a wrong one has an error, and takes no more memory than it is long.
func FuzzRestore(f *testing.F) {
	f.Add("0:")
	f.Add("1:1:3:abc0:")
	f.Add("2:99999999999:")
	f.Add("6:9:1:1:1:x0:0:")
	f.Add("1:-1:0:0:")
	f.Fuzz(func(t *testing.T, data string) {
		var d dish
		if err := Restore(data, &d); err == nil {
			var again dish
			if err := Restore(Compact(d), &again); err != nil {
				t.Error(err)
			}
		}
	})
}
