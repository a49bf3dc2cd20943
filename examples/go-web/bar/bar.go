package bar

import "strings"

// Shout is what /bar answers to a name.
func Shout(name string) string {
	return strings.ToUpper(name) + "!"
}
