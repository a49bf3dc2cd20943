print("greetings from a wheel")
