import DeviceModel
import IOVASpace
import LinuxSystem
import NVMe
import NVMeController
import SoftwareDevices
import SoftwareHost
import VFIOABI
import VFIOHost

/// Links every Embedded target into one program.
@main
struct EmbeddedCheck {
    static func main() {
        print("ok embedded: the lower floors compile and link")
    }
}
