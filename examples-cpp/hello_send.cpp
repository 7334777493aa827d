// Sends one record; hello_recv, in C, C++, Python or Rust, prints it. c++ -std=c++17 hello_send.cpp -lipcx
#include <ipcx.hpp>
#include <iostream>

int main()
try {
    ipcx::Producer tx = ipcx::Ring::open("hello").producer();
    tx.send("hello from C++");
} catch (const ipcx::Error &error) {
    std::cerr << "hello_send: " << error.what() << '\n';
    return 1;
}
