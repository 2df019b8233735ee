/// Runs before the program, and before most other libraries.
private func construct() {
    RealCalls.findAll()
    Run.begin()
    guard Run.isActive else { return }
    PrivatePaths.begin()
    RealSignals.adoptInherited()
}

@section(".init_array") @used
private let constructor: @convention(c) () -> Void = { construct() }
