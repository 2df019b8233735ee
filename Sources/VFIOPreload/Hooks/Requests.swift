import CLinux
import LinuxSystem
import VFIOHost

// ioctl(2): requests to our handles.

/// Stands in front of `ioctl`.
@c(ioctl) public func hookedControl(_ number: Int32, _ request: UInt, _ argument: UInt) -> Int32 {
    guard Handles.contains(number) else {
        return RealCalls.call(.ioctl, as: RealCalls.Control.self)(number, request, argument)
    }
    return Answer.int { () throws(Errno) -> Int32 in
        // The kernel looks at the low half only.
        let request = UInt32(truncatingIfNeeded: request)
        return try Run.present.control(number, request, argument)
    }
}
