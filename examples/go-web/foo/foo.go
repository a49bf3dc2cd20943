package foo

// Greeting is what /foo answers.
func Greeting() string {
	return "hello from foo"
}
