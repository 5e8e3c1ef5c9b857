using System;
using System.Diagnostics;
using System.Threading;

namespace GameServer.Client
{
    /// <summary>Tells listeners where the client was made, in Unity on its main thread.</summary>
    sealed class Listeners
    {
        readonly SynchronizationContext where = SynchronizationContext.Current;

        internal void Tell<T>(Action<T> listeners, T told)
        {
            foreach (Delegate listener in listeners?.GetInvocationList() ?? new Delegate[0])
            {
                if (where == null)
                {
                    TellOne((Action<T>)listener, told);
                }
                else
                {
                    where.Post(_ => TellOne((Action<T>)listener, told), null);
                }
            }
        }

        static void TellOne<T>(Action<T> listener, T told)
        {
            try
            {
                listener(told);
            }
            catch (Exception error) // a mistake of the game, which must stop neither the client nor other listeners
            {
                Trace.TraceError("a listener has failed: " + error);
            }
        }
    }
}
