import CLinux
import LinuxSystem

// The process ends, or goes on as another program: if the kernel of the run lives in it and others need it, somebody
// else keeps it (`Keeper`).

/// Tries to run another program in this process.
private func executing(_ body: () -> Int32) -> Int32 {
    guard Run.isActive, let keeper = Run.makeKeeper() else { return body() }
    let result = body()
    // There is no such program, or it can't be run: all stays as it is.
    let error = clinux_errno()
    keeper.sendAway()
    clinux_set_errno(error)
    return result
}

/// Stands in front of `execve`.
@c(execve) public func hookedExecute(
    _ path: UnsafePointer<CChar>?, _ arguments: UnsafePointer<UnsafePointer<CChar>?>?,
    _ environment: UnsafePointer<UnsafePointer<CChar>?>?
) -> Int32 {
    executing {
        unsafe RealCalls.call(.execve, as: RealCalls.Execute.self)(path, arguments, environment)
    }
}

/// Stands in front of `execv`.
@c(execv) public func hookedExecuteAsIs(
    _ path: UnsafePointer<CChar>?, _ arguments: UnsafePointer<UnsafePointer<CChar>?>?
) -> Int32 {
    executing { unsafe RealCalls.call(.execv, as: RealCalls.ExecuteAsIs.self)(path, arguments) }
}

/// Stands in front of `execvp`.
@c(execvp) public func hookedExecuteFound(
    _ file: UnsafePointer<CChar>?, _ arguments: UnsafePointer<UnsafePointer<CChar>?>?
) -> Int32 {
    executing { unsafe RealCalls.call(.execvp, as: RealCalls.ExecuteAsIs.self)(file, arguments) }
}

/// Stands in front of `execvpe`.
@c(execvpe) public func hookedExecuteFoundWith(
    _ file: UnsafePointer<CChar>?, _ arguments: UnsafePointer<UnsafePointer<CChar>?>?,
    _ environment: UnsafePointer<UnsafePointer<CChar>?>?
) -> Int32 {
    executing {
        unsafe RealCalls.call(.execvpe, as: RealCalls.Execute.self)(file, arguments, environment)
    }
}

/// Stands in front of `fexecve`.
@c(fexecve) public func hookedExecuteOpen(
    _ number: Int32, _ arguments: UnsafePointer<UnsafePointer<CChar>?>?,
    _ environment: UnsafePointer<UnsafePointer<CChar>?>?
) -> Int32 {
    executing {
        unsafe RealCalls.call(.fexecve, as: RealCalls.ExecuteOpen.self)(number, arguments, environment)
    }
}

/// Stands in front of `execveat`.
@c(execveat) public func hookedExecuteAt(
    _ folder: Int32, _ path: UnsafePointer<CChar>?, _ arguments: UnsafePointer<UnsafePointer<CChar>?>?,
    _ environment: UnsafePointer<UnsafePointer<CChar>?>?, _ flags: Int32
) -> Int32 {
    executing {
        unsafe RealCalls.call(.execveat, as: RealCalls.ExecuteAt.self)(
            folder, path, arguments, environment, flags)
    }
}

/// Stands in front of `_exit`.
@c(_exit) public func hookedExitNow(_ status: Int32) {
    Run.end()
    RealCalls.call(.exitNow, as: RealCalls.ExitNow.self)(status)
}

/// Stands in front of `_Exit`, which is the same.
@c(_Exit) public func hookedExitAtOnce(_ status: Int32) { hookedExitNow(status) }
