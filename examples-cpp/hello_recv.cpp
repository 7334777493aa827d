// Waits for one record and prints it. c++ -std=c++17 hello_recv.cpp -lipcx
#include <ipcx.hpp>
#include <iostream>

int main()
try {
    ipcx::Consumer rx = ipcx::Ring::open("hello").consumer();
    std::cout << rx.recv() << '\n';
    ipcx::unlink("hello"); // The next hello begins with a new ring.
} catch (const ipcx::Error &error) {
    std::cerr << "hello_recv: " << error.what() << '\n';
    return 1;
}
